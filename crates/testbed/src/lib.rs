//! pairwatch-testbed
