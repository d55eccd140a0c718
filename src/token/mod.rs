//! room token
