//! Why a request gets no answer, in OpenAI's shape.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::http::json_response;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the response.
    pub status: StatusCode,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// The key of the request that is at fault.
    pub key: Option<String>,
}

impl Refusal {
    /// The request is at fault.
    pub fn bad(message: impl Into<String>) -> Refusal {
        Refusal::of(StatusCode::BAD_REQUEST, message)
    }

    /// What a key of the request says is at fault.
    pub fn bad_key(key: impl Into<String>, what: impl std::fmt::Display) -> Refusal {
        let key = key.into();
        Refusal {
            key: Some(key.clone()),
            ..Refusal::bad(format!("`{key}` {what}"))
        }
    }

    /// Any other.
    pub fn of(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            message: message.into(),
            key: None,
        }
    }

    /// The prompt leaves no room for an answer.
    pub fn too_long(tokens: usize, name: &str, context: usize) -> Refusal {
        Refusal::bad(format!(
            "the prompt has {tokens} tokens with its frame, and {name} reads and writes {context} in all: shorten it"
        ))
    }

    /// The server ends.
    pub fn closing() -> Refusal {
        Refusal::of(
            StatusCode::SERVICE_UNAVAILABLE,
            "the server is being shut down",
        )
    }

    /// The engine could not do it.
    pub fn failed(why: &str) -> Refusal {
        Refusal::of(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the model could not be run: {why}"),
        )
    }

    /// There is nothing at this path.
    pub fn unknown_path() -> Refusal {
        Refusal::of(
            StatusCode::NOT_FOUND,
            "there is nothing here; there are /v1/completions, /v1/chat/completions, /v1/models, /infill, /health and \
             /metrics",
        )
    }

    /// There is something at this path, but not for this method.
    pub fn wrong_method() -> Refusal {
        Refusal::of(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path takes another method: POST what is to be answered, GET all else",
        )
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let kind = match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": {
            "message": self.message,
            "type": kind,
            "param": self.key,
            "code": self.status.as_u16(),
        }})
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = json_response(&self.json());
        *response.status_mut() = self.status;
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
