//! room telemetry
