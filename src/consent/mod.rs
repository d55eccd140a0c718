//! room consent
