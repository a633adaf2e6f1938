//! pairwatch-engine
