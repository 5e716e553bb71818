//! Work-done progress: what a client shows while it waits for something long.

use std::time::Duration;

use tokio::time::{interval, timeout};
use tower_lsp::Client;
use tower_lsp::lsp_types::notification;
use tower_lsp::lsp_types::request::WorkDoneProgressCreate;
use tower_lsp::lsp_types::{
    NumberOrString, ProgressParams, ProgressParamsValue, WorkDoneProgress, WorkDoneProgressBegin,
    WorkDoneProgressCreateParams, WorkDoneProgressEnd, WorkDoneProgressReport,
};

/// How long a client may take to make room for progress; past it the work goes on unshown.
const CREATE_WAIT: Duration = Duration::from_secs(5);

/// How often a client is told how far the work is.
const BEAT: Duration = Duration::from_millis(500);

/// The progress of one piece of work, under the token that the client knows it by.
pub struct Progress {
    client: Client,
    token: Option<NumberOrString>,
}

impl Progress {
    /// Asks the client to make room for progress under this token; none if it does not.
    pub async fn create(client: &Client, token: NumberOrString) -> Option<NumberOrString> {
        let params = WorkDoneProgressCreateParams {
            token: token.clone(),
        };
        // A client that never answers must not hold up the work.
        let created = timeout(
            CREATE_WAIT,
            client.send_request::<WorkDoneProgressCreate>(params),
        );
        matches!(created.await, Ok(Ok(()))).then_some(token)
    }

    /// Work has begun. Without a token nothing is told.
    pub async fn begin(client: &Client, token: Option<NumberOrString>, what: String) -> Progress {
        let progress = Progress {
            client: client.clone(),
            token,
        };
        progress
            .tell(WorkDoneProgress::Begin(WorkDoneProgressBegin {
                title: "Infill".to_owned(),
                message: Some(what),
                percentage: Some(0),
                ..WorkDoneProgressBegin::default()
            }))
            .await;
        progress
    }

    /// Waits for the work, telling now and then how far it is, and that it has ended.
    pub async fn during<T>(
        self,
        work: impl Future<Output = T>,
        percent: impl Fn() -> Option<u32>,
    ) -> T {
        tokio::pin!(work);
        let mut beat = interval(BEAT);
        beat.tick().await;
        let mut told = Some(0);
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                _ = beat.tick() => {
                    let now = percent();
                    if now.is_some() && now != told {
                        told = now;
                        self.tell(WorkDoneProgress::Report(WorkDoneProgressReport {
                            percentage: now,
                            ..WorkDoneProgressReport::default()
                        }))
                        .await;
                    }
                }
            }
        };
        self.tell(WorkDoneProgress::End(WorkDoneProgressEnd { message: None }))
            .await;
        result
    }

    async fn tell(&self, step: WorkDoneProgress) {
        if let Some(token) = &self.token {
            let params = ProgressParams {
                token: token.clone(),
                value: ProgressParamsValue::WorkDone(step),
            };
            self.client
                .send_notification::<notification::Progress>(params)
                .await;
        }
    }
}
