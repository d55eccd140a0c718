//! Commands: nothing panics, what is accepted holds what was sent, every refusal has a sound reply.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluis::mail::{Address, AddressError};
use sluis::smtp::command::Command;
use sluis::smtp::reply::Reply;

fn kept(address: &Address, line: &[u8]) {
    assert!(line.windows(address.as_str().len()).any(|part| part == address.as_str().as_bytes()));
    assert!(!address.as_str().contains(['\r', '\n', '\0']));
    // Folding may make a key longer than an address can be.
    match Address::parse(address.key().as_str()) {
        Ok(again) => assert_eq!(again.key(), address.key(), "a key is its own key"),
        Err(error) => assert_eq!(error, AddressError::TooLong),
    }
}

fuzz_target!(|line: &[u8]| {
    if line.contains(&b'\r') || line.contains(&b'\n') {
        return;
    }
    match Command::parse(line) {
        Ok(Command::Mail(mail)) => {
            if let Some(address) = mail.reverse_path.address() {
                kept(address, line);
            }
        }
        Ok(Command::Rcpt(recipient)) => kept(&recipient.address, line),
        Ok(_) => {}
        Err(error) => {
            let reply = Reply::bad_command(&error).to_bytes();
            assert!(reply.starts_with(b"5") && reply.ends_with(b"\r\n"));
            assert_eq!(reply.iter().filter(|&&octet| octet == b'\n').count(), 1);
        }
    }
});
