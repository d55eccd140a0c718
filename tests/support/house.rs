//! The real program on a folder of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use super::patience::PATIENCE;

/// A folder with a config whose ports are free ones.
pub struct House {
    folder: tempfile::TempDir,
}

impl House {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            r#"
name = "sluis.test"
data = "{}/var"
[[listener]]
address = "127.0.0.1:0"
[trusted]
networks = ["127.0.0.0/8"]
[relay]
next_hop = "directory"
[unsubscribe]
listen = "127.0.0.1:0"
[[sender]]
name = "Voorbeeld Hypotheken B.V."
trade_names = ["Voorbeeld Hypotheken"]
kvk = "12345678"
address = "Dorpsstraat 1, 1234 AB Ons Dorp"
contact = "info@voorbeeldhypotheken.nl"
domains = ["voorbeeldhypotheken.nl"]
notify = ["beheer@voorbeeldhypotheken.nl"]
[[rule]]
name = "newsletter"
class = "marketing"
purpose = "nieuwsbrief"
"#,
            folder.path().display()
        );
        std::fs::write(folder.path().join("sluis.toml"), config).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn file(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name).display().to_string()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluis"));
        command.args(args).env("SLUIS_CONFIG", self.path("sluis.toml")).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Done {
        Done::of(&self.command(args).output().unwrap())
    }

    /// [`House::run`] with something to read.
    pub fn run_with(&self, args: &[&str], input: &str) -> Done {
        let mut command = self.command(args);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // Whoever knows enough hangs up.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Done::of(&child.wait_with_output().unwrap())
    }

    /// [`House::run`] for what must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.code, 0, "{args:?}: {done:?}");
        done.out
    }
}

#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout.clone()).unwrap(),
            err: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }
}

/// A gateway that serves, ended with the test; somebody goes on reading what it says.
pub struct Served {
    child: Child,
    /// Somebody has to read what it says.
    _stdout: BufReader<ChildStdout>,
    said: String,
}

impl Served {
    /// Start, and wait until it says where it listens.
    pub fn start(house: &House) -> Self {
        Self::of(house.command(&["serve"]))
    }

    /// The same, with a signal that would end it ignored: what it tells of comes as an error instead.
    #[allow(dead_code, reason = "for the tests of a full disk")]
    pub fn start_ignoring(house: &House, signal: &str) -> Self {
        let serve = house.command(&["serve"]);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("trap '' {signal}; exec \"$0\" serve")).arg(serve.get_program());
        command.env("SLUIS_CONFIG", house.path("sluis.toml")).stdin(Stdio::null());
        Self::of(command)
    }

    /// Its process.
    #[allow(dead_code, reason = "for the tests of a full disk")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        stdout.read_line(&mut said).unwrap();
        assert!(said.contains("127.0.0.1:"), "{said}");
        Self { child, _stdout: stdout, said }
    }

    /// Speak SMTP without waiting for answers, and hear all of them.
    pub fn say(&self, dialog: &str) -> String {
        let at = self.said.find("127.0.0.1:").map(|at| &self.said[at..]).unwrap_or_default();
        let end = at.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(at.len());
        let mut stream = TcpStream::connect(&at[..end]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(dialog.as_bytes()).unwrap();
        let mut replies = String::new();
        stream.read_to_string(&mut replies).unwrap();
        replies
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
