//! room notify
