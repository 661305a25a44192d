//! The door, tried by peers that the swarm would bring to it.
#![allow(clippy::unwrap_used)]
use libp2p::swarm::DialError;

use super::super::fixtures::{at, peer};
use super::*;

/// Connects a peer as the swarm does.
fn connect(door: &mut Door, number: usize, peer: PeerId, address: &Multiaddr, dialled: bool) -> bool {
    let connection = ConnectionId::new_unchecked(number);
    let (role, port_use) = (Endpoint::Dialer, PortUse::New);
    let (entered, endpoint) = if dialled {
        door.choose(connection);
        door.handle_pending_outbound_connection(connection, Some(peer), &[], role).unwrap();
        let entered = door.handle_established_outbound_connection(connection, peer, address, role, port_use);
        (entered.is_ok(), ConnectedPoint::Dialer { address: address.clone(), role_override: role, port_use })
    } else {
        let here = at("/ip4/127.0.0.1/tcp/1");
        let entered = door.handle_established_inbound_connection(connection, peer, &here, address);
        (entered.is_ok(), ConnectedPoint::Listener { local_addr: here, send_back_addr: address.clone() })
    };
    if entered {
        door.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: connection,
            endpoint: &endpoint,
            failed_addresses: &[],
            other_established: 0,
        }));
    } else if dialled {
        let error = DialError::Aborted;
        let failure = DialFailure { peer_id: Some(peer), error: &error, connection_id: connection };
        door.on_swarm_event(FromSwarm::DialFailure(failure));
    }
    entered
}

/// Closes a connection as the swarm does. Returns where the peer is then.
fn close(door: &mut Door, number: usize, peer: PeerId) -> Option<(Prefix, Multiaddr)> {
    let there = at("/ip4/127.0.0.1/tcp/1");
    let endpoint = ConnectedPoint::Listener { local_addr: there.clone(), send_back_addr: there };
    door.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
        peer_id: peer,
        connection_id: ConnectionId::new_unchecked(number),
        endpoint: &endpoint,
        cause: None,
        remaining_established: 1,
    }));
    let guest = door.guests.get(&peer)?;
    Some((guest.prefix(), guest.remote()?.clone()))
}

/// (`NE-13`) It was killed a moment after this node had dialled it, and is back at once.
#[test]
fn a_peer_that_says_another_start_than_before_loses_all_of_its_connections() {
    let mut door = Door::new(256, Friends::default(), Arc::default());
    let (alive, back) = (peer(1), peer(2));
    for (number, peer) in [(1, alive), (2, back)] {
        assert!(connect(&mut door, number, peer, &at("/ip4/10.0.1.1/tcp/1"), true));
        door.on_start_of(peer, 7);
        assert!(connect(&mut door, 10 + number, peer, &at("/ip4/10.0.1.1/tcp/2"), false));
    }
    door.on_start_of(alive, 7);
    assert!(door.leaving.is_empty(), "their dials have crossed");
    door.on_start_of(back, 8);
    door.on_start_of(back, 9);
    door.on_start_of(peer(3), 1);
    assert_eq!(door.leaving, [back], "once");
}

/// (`NE-2`, `NE-3`) Records led this node to dial many keys of one owner, who keeps the connections.
#[test]
fn an_owner_of_many_keys_that_were_dialled_takes_no_place_that_others_need() {
    let friends = Friends::default();
    friends.become_these(BTreeSet::from([peer(1)]));
    let mut door = Door::new(256, friends, Arc::default());
    for number in 0..400 {
        connect(&mut door, number, PeerId::random(), &at("/ip4/10.0.1.1/tcp/1"), true);
        door.leaving.clear();
    }
    let places = [
        ("/ip4/10.0.1.1/tcp/1", peer(1)),
        ("/ip4/10.0.2.1/tcp/1", peer(2)),
        ("/ip4/10.0.3.1/tcp/1", peer(3)),
    ];
    for (number, (address, peer)) in places.into_iter().enumerate() {
        assert!(connect(&mut door, 500 + number, peer, &at(address), number == 1), "{address}");
    }
    let chosen = door.guests.values().filter(|guest| guest.is_chosen).count();
    assert_eq!(chosen, limits::CONNECTIONS_KEPT / 2 + 1);
}

/// (`NE-2`)
#[test]
fn an_address_that_was_there_for_a_moment_is_no_place_of_another_prefix() {
    let mut door = Door::new(256, Friends::default(), Arc::default());
    assert!(connect(&mut door, 1, peer(1), &at("/ip4/10.0.1.1/tcp/1"), false));
    assert!(connect(&mut door, 2, peer(1), &at("/ip4/10.0.2.1/tcp/1"), false));
    let second = at("/ip4/10.0.2.1/tcp/1");
    assert_eq!(close(&mut door, 1, peer(1)), Some((prefix::of(&second), second)));
    assert_eq!(close(&mut door, 2, peer(1)), None);
}

/// (`NE-2`) A dial is numbered when it begins: one that came later may have the lower number.
#[test]
fn a_peer_is_where_the_connection_leads_that_came_first_whichever_was_numbered_first() {
    let mut door = Door::new(256, Friends::default(), Arc::default());
    let first = at("/ip4/10.0.2.1/tcp/1");
    for (number, address) in [(2, first.clone()), (1, at("/ip4/10.0.1.1/tcp/1")), (3, first.clone())] {
        assert!(connect(&mut door, number, peer(1), &address, false));
    }
    assert_eq!(close(&mut door, 3, peer(1)), Some((prefix::of(&first), first)));
}
