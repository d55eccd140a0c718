//! room submission
