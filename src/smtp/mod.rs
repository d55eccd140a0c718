//! room smtp
