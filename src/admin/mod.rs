//! room admin
