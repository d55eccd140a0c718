//! room net
