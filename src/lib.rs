//! Pairwatch plugin.
