//! What the random histories of `tests/model.rs` do not reach: many entries, and slots used again.

use bytes::Bytes;

use super::*;
use crate::engine::Body;
use crate::{NewMessage, NewRecipient};

fn insert(index: &mut Index, id: u64, next_hop: &str, dues: &[UnixMillis]) {
    let recipient = |due: &UnixMillis| NewRecipient {
        address: "a@b".into(),
        destination: destination(next_hop),
        due: *due,
        expires: 1_000_000,
        notify_delay_at: None,
    };
    let recipients = dues.iter().map(recipient).collect();
    let message = NewMessage { sender: String::new(), received: 5, meta: vec![], recipients };
    let body = Body::Inline(Bytes::new());
    index.follow(&Step::Insert(Box::new(Insert::new(MessageId(id), message, body))));
}

fn destination(next_hop: &str) -> Destination {
    Destination { next_hop: next_hop.into(), connector: "c".into(), tls_domain: String::new() }
}

#[test]
fn a_long_queue_is_counted_up_to_a_hundred() {
    let mut index = Index::default();
    (1..=3_000).for_each(|id| insert(&mut index, id, "long.example", &[id as i64]));
    insert(&mut index, 4_000, "short.example", &[7, 8]);
    let due = index.due(5_000);
    assert_eq!(due.iter().map(|due| (due.recipients, due.earliest)).collect::<Vec<_>>(), [(100, 1), (2, 7)]);
    assert_eq!(index.next_due_after(2_999), Some(3_000));
    assert_eq!(index.statistics().ready, 3_001);
}

#[test]
fn an_emptied_delivery_queue_leaves_its_slot_to_the_next() {
    let mut index = Index::default();
    for id in 1..=1_000 {
        insert(&mut index, id, &format!("h{id}.example"), &[1]);
        assert_eq!(index.due(1).len(), 1);
        assert_eq!(
            index.claim_due(&destination(&format!("h{id}.example")), 1).map(|one| one.id),
            Some(MessageId(id))
        );
        index.follow(&Step::Remove { id: MessageId(id), recipient: 0 });
        assert_eq!(index.next_due(), None);
    }
    assert_eq!(index.schedule.slots(), 1);
    assert_eq!(index.next_alarm(), None);
}

#[test]
fn a_claim_that_outlived_its_deferral_does_not_give_back_the_next_claim() {
    let mut index = Index::default();
    insert(&mut index, 1, "h.example", &[1]);
    let first = index.claim_due(&destination("h.example"), 1).expect("due");
    index.follow(&Step::Retry { id: MessageId(1), recipient: 0, attempts: 1, next_attempt: 2, note: vec![] });
    let second = index.claim_due(&destination("h.example"), 2).expect("due again");
    assert!(!index.give_back(&first));
    assert!(index.is_claimed(MessageId(1), 0));
    assert!(index.give_back(&second));
    assert_eq!(index.next_due(), Some(2));
}

#[test]
fn a_message_to_ten_thousand_is_claimed_in_one_go() {
    let mut index = Index::default();
    insert(&mut index, 1, "h.example", &[1; 10_000]);
    let claimed = index.claim_due(&destination("h.example"), 1).expect("due");
    assert_eq!(claimed.recipients.len(), 10_000);
    assert!(index.due(1).is_empty());
    assert!(index.give_back(&claimed));
    assert_eq!(index.due(1)[0].recipients, 100);
}

#[test]
fn a_look_is_bounded_and_says_when_it_is_cut() {
    let mut index = Index::default();
    for id in 1..=10 {
        insert(&mut index, id, &format!("h{id}.example"), &[i64::try_from(id).unwrap()]);
    }
    let look = index.due_first(8, 3);
    let earliest: Vec<UnixMillis> = look.destinations.iter().map(|due| due.earliest).collect();
    assert_eq!((earliest, look.cut), (vec![1, 2, 3], true));
    assert!(!index.due_first(3, 3).cut);
    let one = |index: &Index, name: &str, now| index.schedule.due_at(&destination(name), now);
    assert_eq!(one(&index, "h9.example", 9).map(|due| due.recipients), Some(1));
    assert_eq!(one(&index, "h9.example", 8), None);
    assert_eq!(one(&index, "nobody.example", 9), None);
}

#[test]
fn what_waited_is_brought_forward_unless_it_is_held_claimed_or_another_queues() {
    let mut index = Index::default();
    let here = destination("back.example");
    for id in 1..=4 {
        insert(&mut index, id, "back.example", &[1_000]);
    }
    insert(&mut index, 5, "other.example", &[1_000]);
    insert(&mut index, 6, "back.example", &[2]);
    index.follow(&Step::Hold { id: MessageId(2), recipient: 0, held: true });
    let claimed = index.claim_these(MessageId(3), &[0]).expect("free");
    let mut brought = Brought::default();
    (1..=7).for_each(|id| index.bring_forward(&here, MessageId(id), 7, &mut brought));
    assert_eq!(brought, Brought { due: 3, claimed: vec![MessageId(3)] });
    let due =
        |index: &Index| index.due(999).iter().map(|due| (due.recipients, due.earliest)).collect::<Vec<_>>();
    assert_eq!(due(&index), [(3, 2)], "messages 6, 1 and 4, and none is put off");
    index.give_back(&claimed);
    assert_eq!(due(&index), [(3, 2)]);
    index.follow(&Step::Hold { id: MessageId(2), recipient: 0, held: false });
    assert_eq!(due(&index), [(3, 2)]);
    assert_eq!(index.next_due_after(999), Some(1_000));
}

#[test]
fn what_is_claimed_is_known_without_a_walk_through_the_queue() {
    let mut index = Index::default();
    (1..=6).for_each(|id| insert(&mut index, id, "h.example", &[1, 1]));
    assert_eq!(index.claimed(None), []);
    let claims: Vec<Claimed> =
        (1..=5).map(|_| index.claim_due(&destination("h.example"), 1).expect("due")).collect();
    assert_eq!(index.claimed(None), [1, 2, 3, 4, 5].map(MessageId));
    assert_eq!(index.claimed(Some(MessageId(3))), [4, 5].map(MessageId));
    index.give_back(&claims[0]);
    for recipient in [0, 1] {
        // The other recipient is still being delivered.
        assert!(index.claimed(None).contains(&MessageId(2)), "{recipient}");
        index.follow(&Step::Remove { id: MessageId(2), recipient });
    }
    for recipient in [0, 1] {
        let id = MessageId(3);
        index.follow(&Step::Retry { id, recipient, attempts: 1, next_attempt: 9, note: vec![] });
    }
    assert_eq!(index.claimed(None), [4, 5].map(MessageId));
}
