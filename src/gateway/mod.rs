//! room gateway
