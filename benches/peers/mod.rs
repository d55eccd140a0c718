//! Other relays, as their packages install them: started by a script of their own, in a folder of their own,
//! in front of the same sink. One that is not installed is left out.

pub mod samotop;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::free_port;

/// Exit status of a script whose program is not there.
const NOT_INSTALLED: i32 = 77;

/// A running peer.
pub struct Peer {
    pub name: &'static str,
    pub address: SocketAddr,
    script: PathBuf,
    folder: tempfile::TempDir,
    master: u32,
}

/// Start every one of `names` that is installed, each told `settings` by its environment; the names of the others.
pub fn start(
    sink: SocketAddr,
    names: &[&'static str],
    settings: &[(&str, &str)],
) -> (Vec<Peer>, Vec<&'static str>) {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for &name in names {
        match Peer::start(name, sink, settings) {
            Some(peer) => there.push(peer),
            None => missing.push(name),
        }
    }
    (there, missing)
}

impl Peer {
    fn start(name: &'static str, sink: SocketAddr, settings: &[(&str, &str)]) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/peers/{name}.sh"));
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_port();
        let output = Command::new(&script)
            .env("BENCH", std::env::current_exe().expect("this program"))
            .envs(settings.iter().copied())
            .arg("start")
            .arg(folder.path())
            .args([address.port().to_string(), sink.port().to_string()])
            .output()
            .expect("the script runs");
        if output.status.code() == Some(NOT_INSTALLED) {
            return None;
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let master = said.trim().parse().unwrap_or_else(|_| panic!("{name} did not start: {output:?}"));
        Some(Self { name, address, script, folder, master })
    }

    /// CPU seconds of its processes so far, those that ended included.
    pub fn cpu(&self) -> f64 {
        let mut all = vec![self.master];
        let mut at = 0;
        while let Some(&parent) = all.get(at) {
            let children = format!("/proc/{parent}/task/{parent}/children");
            let children = std::fs::read_to_string(children).unwrap_or_default();
            all.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            at += 1;
        }
        all.into_iter().map(|pid| super::cpu_of(pid, true)).sum()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = Command::new(&self.script).arg("stop").arg(self.folder.path()).status();
    }
}
