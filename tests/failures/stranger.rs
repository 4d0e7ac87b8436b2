//! A server that speaks TLS, and whose certificate nobody vouches for.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::tls;

pub struct Stranger {
    addr: SocketAddr,
    told: Arc<AtomicUsize>,
}

impl Stranger {
    pub async fn start() -> Stranger {
        let (acceptor, _) = tls::acceptor("127.0.0.1", &[]);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        let counting = told.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, told) = (acceptor.clone(), counting.clone());
                tokio::spawn(async move {
                    if let Ok(mut stream) = acceptor.accept(stream).await
                        && let Ok(1..) = stream.read(&mut [0; 64]).await
                    {
                        told.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Stranger { addr, told }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// How many have told it something in confidence.
    pub fn told(&self) -> usize {
        self.told.load(Ordering::Relaxed)
    }
}
