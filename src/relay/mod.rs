//! room relay
