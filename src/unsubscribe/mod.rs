//! room unsubscribe
