//! room ledger
