//! Connections: clients are let in, and those that keep one open without using it are not waited for.
//!
//! A client may take its time to read an answer, but not to send the head of a request, and it must read something now
//! and then. What it may do about a request's body, [`fields`](crate::http::fields) says.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

/// How long clients are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the whole head of a request, from the start of a connection or the end of the answer before it.
    pub head: Duration,
    /// For a client to read anything of what is sent.
    pub reading: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            // Clients give up idle connections after some five seconds, so few of them find that this end did first.
            head: Duration::from_secs(8),
            reading: Duration::from_secs(60),
        }
    }
}

/// Lets clients in until `ending` is done. Gives what ends when the last answer is sent.
pub async fn serve(
    mut listener: TcpListener,
    router: Router,
    patience: Patience,
    ending: impl Future<Output = ()>,
) -> impl Future<Output = ()> {
    let open = GracefulShutdown::new();
    let accept = async {
        loop {
            let (stream, address) = Listener::accept(&mut listener).await;
            // Pieces of an answer are small and must not wait for one another.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!("{address} gets its pieces late: {error}");
            }
            let stream = TokioIo::new(Watched::new(stream, patience.reading));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(patience.head)
                .serve_connection(stream, TowerToHyperService::new(router.clone()));
            let connection = open.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!("{address} was left: {error}");
                }
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = ending => {}
    }
    drop(listener);
    open.shutdown()
}

/// A connection that breaks when its client reads nothing for too long.
struct Watched {
    stream: TcpStream,
    patience: Duration,
    /// Until when the client has to read something, if anything waits to be read.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn new(stream: TcpStream, patience: Duration) -> Watched {
        Watched {
            stream,
            patience,
            waiting: None,
        }
    }

    /// What has come of writing; an error if nothing did for too long.
    fn watch(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let patience = self.patience;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it reads nothing of what is sent",
        )))
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use futures_util::stream::repeat_with;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_millis(300),
        reading: Duration::from_millis(300),
    };

    /// Longer than anything here takes.
    const LONG: Duration = Duration::from_secs(60);

    async fn start(router: Router) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router, PATIENCE, pending()));
        address
    }

    fn greeting() -> Router {
        Router::new().route("/", get(|| async { "hello" }))
    }

    #[tokio::test]
    async fn a_head_that_comes_too_slowly_ends_the_connection() {
        let address = start(greeting()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (mut reading, mut writing) = stream.split();
        let send = async {
            writing.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            // Each line comes soon enough; only all of them together never do.
            while writing.write_all(b"X: y\r\n").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
            pending::<()>().await;
        };
        let read = async {
            let mut answer = Vec::new();
            // Whether it ends or breaks does not matter.
            let _ = reading.read_to_end(&mut answer).await;
            answer
        };
        let answer = timeout(LONG, async {
            tokio::select! {
                answer = read => answer,
                () = send => unreachable!("it sends for ever"),
            }
        });
        let answer = String::from_utf8(answer.await.unwrap()).unwrap();
        assert!(!answer.contains("hello"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_left() {
        struct Flag(Arc<AtomicBool>);
        impl Drop for Flag {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let is_left = Arc::new(AtomicBool::new(false));
        let route = {
            let is_left = Arc::clone(&is_left);
            move || async move {
                let flag = Flag(is_left);
                let piece = Bytes::from(vec![b'x'; 1 << 16]);
                let pieces = repeat_with(move || {
                    let _kept = &flag;
                    Ok::<_, Infallible>(piece.clone())
                });
                Body::from_stream(pieces)
            }
        };
        let address = start(greeting().route("/endless", get(route))).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).await.unwrap();
        // For as long as it reads, it is served.
        let mut some = vec![0; 1 << 20];
        stream.read_exact(&mut some).await.unwrap();
        let left = async {
            while !is_left.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LONG, left).await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_has_begun_is_sent_to_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (begun, mut begins) = tokio::sync::mpsc::channel(1);
        let (end, ends) = tokio::sync::watch::channel(false);
        let route = move || {
            let (begun, mut ends) = (begun.clone(), ends.clone());
            async move {
                begun.send(()).await.unwrap();
                ends.wait_for(|&ends| ends).await.unwrap();
                "the end"
            }
        };
        let router = Router::new().route("/", get(route));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let ending = async { begins.recv().await.unwrap() };
        let rest = serve(listener, router, PATIENCE, ending).await;
        assert!(TcpStream::connect(address).await.is_err(), "nobody new");
        end.send_replace(true);
        let mut answer = String::new();
        let (read, ()) = tokio::join!(stream.read_to_string(&mut answer), rest);
        assert!(read.is_ok() && answer.ends_with("the end"), "{answer}");
    }
}
