//! What became of a request, as the signals tell outcomes apart.

/// What became of a request. One answer has exactly one outcome, so that the counts add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was served: 1xx to 3xx, gRPC 0.
    Served,
    /// The server failed: 5xx, or a gRPC status that says so.
    ServerError,
    /// The caller was refused: 401 or 403, gRPC 16 (unauthenticated) or 7 (permission denied).
    AuthFailure,
    /// There is no such thing: 404 or 405, gRPC 5 (not found) or 12 (unimplemented).
    NotFound,
    /// The caller erred in another way: any other 4xx, or gRPC's equivalents.
    ClientError,
    /// No answer was sent: the caller went away first. Nobody's error that a signal here looks at.
    Aborted,
}

impl Outcome {
    /// Whether the answer was that the caller may not, or that there is no such thing.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::AuthFailure | Self::NotFound | Self::ClientError)
    }

    /// The outcome of an HTTP status (0: none) and, where there is one, a gRPC status, which then decides: gRPC answers
    /// 200 to a call that failed. Codes: <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>.
    pub fn of(status: u16, grpc_status: Option<u32>) -> Self {
        match (status, grpc_status) {
            (200, Some(code)) => match code {
                0 => Self::Served,
                1 => Self::Aborted,
                5 | 12 => Self::NotFound,
                7 | 16 => Self::AuthFailure,
                // Unknown, deadline exceeded, internal, unavailable, data loss: the server's side.
                2 | 4 | 13 | 14 | 15 => Self::ServerError,
                _ => Self::ClientError,
            },
            (0, _) => Self::Aborted,
            (401 | 403, _) => Self::AuthFailure,
            (404 | 405, _) => Self::NotFound,
            (400..=499, _) => Self::ClientError,
            (500.., _) => Self::ServerError,
            _ => Self::Served,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_grpc_status_decides_over_the_200_that_carries_it() {
        assert_eq!(Outcome::of(200, Some(14)), Outcome::ServerError);
        assert_eq!(Outcome::of(200, Some(16)), Outcome::AuthFailure);
        assert_eq!(Outcome::of(200, Some(0)), Outcome::Served);
        assert_eq!(Outcome::of(503, Some(0)), Outcome::ServerError);
    }

    #[test]
    fn a_caller_that_went_away_is_nobodys_error() {
        assert_eq!(Outcome::of(0, None), Outcome::Aborted);
        assert_eq!(Outcome::of(200, Some(1)), Outcome::Aborted);
    }
}
