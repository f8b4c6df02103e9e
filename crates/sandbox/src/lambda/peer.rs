//! The process at the other end of a connection from this machine.
//!
//! On Linux, `/proc/net/tcp` has the inode of every socket, and `/proc/PID/fd` shows its holder.
//! Other systems do not say, and any process is accepted there.

use std::fs;
use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::TcpListener;

use crate::processes::processes;

const CONNECTIONS: &str = "/proc/net/tcp";

/// The socket at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The one with this inode.
    Socket(u64),
    /// One that no longer exists.
    Gone,
    /// This operating system does not say.
    Untold,
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        match stream.io().local_addr() {
            Ok(own) => Self::of(*stream.remote_addr(), own),
            Err(_) => Self::Gone,
        }
    }
}

impl Peer {
    fn of(remote: SocketAddr, own: SocketAddr) -> Self {
        match fs::read_to_string(CONNECTIONS) {
            Ok(table) => inode(&table, remote, own).map_or(Self::Gone, Peer::Socket),
            Err(_) => Self::Untold,
        }
    }

    /// Whether a process of this process group holds the socket.
    pub fn is_of_group(self, group: u32) -> bool {
        match self {
            Self::Socket(inode) => i32::try_from(group).is_ok_and(|group| {
                // The leader is nearly always the one.
                let mut others =
                    processes().filter(|other| other.group == group && other.id != group);
                holds(group, inode) || others.any(|other| holds(other.id, inode))
            }),
            Self::Gone => false,
            Self::Untold => true,
        }
    }
}

/// The inode of the socket that is `local` here and connected to `remote`.
fn inode(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let (local, remote) = (hex(local)?, hex(remote)?);
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_it =
            fields.get(1) == Some(&local.as_str()) && fields.get(2) == Some(&remote.as_str());
        is_it.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

/// An address as the table has it: `0100007F:1388` is 127.0.0.1:5000.
fn hex(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else { return None };
    let ip = u32::from_ne_bytes(address.ip().octets());
    Some(format!("{ip:08X}:{:04X}", address.port()))
}

fn holds(process: i32, inode: u64) -> bool {
    let socket = format!("socket:[{inode}]");
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    files
        .flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == &*socket))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_connection_belongs_to_the_group_that_made_it() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("an address");
        // A shell cannot connect, but its child inherits what this process has connected.
        let stream = TcpStream::connect(own).expect("a connection");
        let remote = stream.local_addr().expect("an address");
        let peer = Peer::of(remote, own);
        assert!(matches!(peer, Peer::Socket(_)), "{peer:?}");
        assert!(peer.is_of_group(std::process::id()));

        let mut other = Command::new("sh")
            .args(["-c", "sleep 60 & wait"])
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .expect("another group");
        assert!(!peer.is_of_group(other.id()));
        let held = Command::new("sleep")
            .arg("60")
            .process_group(i32::try_from(other.id()).expect("an id"))
            .stdin(std::os::fd::OwnedFd::from(stream))
            .spawn();
        let mut held = held.expect("a member that holds the socket");
        assert!(peer.is_of_group(other.id()));
        for process in [&mut held, &mut other] {
            process.kill().expect("its end");
            process.wait().expect("its end");
        }
        assert!(!peer.is_of_group(other.id()));
    }

    #[test]
    fn a_socket_that_is_not_there_belongs_to_nobody() {
        let nowhere = "127.0.0.1:1".parse().expect("an address");
        assert_eq!(Peer::of(nowhere, nowhere), Peer::Gone);
        assert!(!Peer::Gone.is_of_group(std::process::id()));
    }
}
