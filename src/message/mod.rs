//! room message
