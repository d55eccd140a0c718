//! room suppression
