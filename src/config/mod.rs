//! room config
