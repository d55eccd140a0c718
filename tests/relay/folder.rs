//! A folder as next hop: durable, sortable, octet for octet, and there once.

use sluis::message::{Piece, Rope};
use sluis::relay::{Abilities, NextHop, Relay, Settings};

use super::{MESSAGE, brief, copy_id, copy_of, free};

fn relay(folder: &std::path::Path) -> Relay {
    Relay::new(Settings::new(NextHop::Directory(folder.to_owned()), "gateway.example")).unwrap()
}

#[tokio::test]
async fn promise_2_a_copy_in_a_folder_is_whole_and_there_once() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("outbox");
    let relay = relay(&folder);
    assert_eq!(relay.abilities(), Abilities { eight_bit: true, smtputf8: true, size: None });
    for index in 0..3 {
        let mut copy = copy_of(MESSAGE, &["a@example.org"]);
        copy.id = copy_id(index);
        let own = Piece::Own("X-Own: yes\r\n".into());
        copy.rope =
            Rope::new(copy.rope.original().clone(), vec![own, Piece::Original(0..MESSAGE.len())]).unwrap();
        // Twice, as after a crash: the same file.
        for _ in 0..2 {
            let delivery = relay.deliver(&copy, &free).await;
            assert_eq!(brief(&delivery.fates[0]), "relayed 250 2.0.0");
            assert!(!delivery.down);
        }
    }
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected: Vec<_> = (0..3)
        .flat_map(|index| [format!("{}.eml", copy_id(index)), format!("{}.json", copy_id(index))])
        .collect();
    assert_eq!(names, expected, "no half-written file stays");
    let message = std::fs::read_to_string(folder.join(&names[0])).unwrap();
    assert_eq!(message, format!("X-Own: yes\r\n{MESSAGE}"));
    let envelope: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join(&names[1])).unwrap()).unwrap();
    assert_eq!(envelope["reverse_path"], "nieuws@voorbeeldhypotheken.nl");
    assert_eq!(envelope["recipients"][0]["address"], "a@example.org");
}

#[tokio::test]
async fn promise_5_a_folder_that_cannot_be_written_defers() {
    let parent = tempfile::tempdir().unwrap();
    // A file where the folder should be.
    let taken = parent.path().join("outbox");
    std::fs::write(&taken, "").unwrap();
    let delivery = relay(&taken).deliver(&copy_of(MESSAGE, &["a@example.org"]), &free).await;
    assert_eq!(brief(&delivery.fates[0]), "deferred 452 4.3.1");
    assert!(delivery.down);
}
