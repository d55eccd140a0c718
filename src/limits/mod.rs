//! room limits
