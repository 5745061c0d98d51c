use super::*;

fn claim(standing: Standing, priority: Priority, wants: usize) -> Claim {
    Claim { standing, priority, wants, turn: 0 }
}

fn stranger(wants: usize) -> Claim {
    claim(Standing::Stranger, Priority::Normal, wants)
}

fn partner(number: usize, wants: usize) -> Claim {
    claim(Standing::Known(number), Priority::Normal, wants)
}

#[test]
fn a_backlog_leaves_the_others_their_part() {
    let table: Vec<(usize, Vec<Claim>, Vec<usize>)> = vec![
        (10, vec![stranger(3), stranger(4)], vec![3, 4]),
        (10, vec![stranger(1000), stranger(2)], vec![7, 2]),
        (20, vec![stranger(1000), stranger(1000)], vec![9, 9]),
        // A partner with many domains is one partner.
        (12, vec![partner(0, 100), partner(1, 100), partner(1, 100), partner(1, 100)], vec![6, 2, 2, 2]),
        // Partners first, and one part in ten for the strangers.
        (100, vec![stranger(1000), partner(0, 1000)], vec![10, 90]),
        (100, vec![stranger(1000), partner(0, 50)], vec![50, 50]),
        (100, vec![stranger(4), partner(0, 1000)], vec![4, 96]),
        (1, vec![stranger(4), partner(0, 1000)], vec![0, 1]),
        (90, vec![claim(Standing::Inside, Priority::Normal, 1000), partner(0, 1000)], vec![45, 45]),
    ];
    for (workers, claims, expected) in table {
        assert_eq!(share(workers, &claims), expected, "{workers} among {claims:?}");
    }
}

#[test]
fn priority_is_weight_and_not_the_right_of_way() {
    let of = |number, priority| claim(Standing::Known(number), priority, 1000);
    let claims = [of(0, Priority::Low), of(1, Priority::Normal), of(2, Priority::High)];
    assert_eq!(share(70, &claims), [10, 20, 40]);
    assert_eq!(share(7, &claims), [1, 2, 4]);
}

#[test]
fn where_there_are_more_queues_than_workers_each_has_its_turn() {
    for (low, high, rounds) in [(5, 5, 3000), (40, 2, 3000)] {
        let mut claims: Vec<Claim> = (0..low)
            .map(|n| claim(Standing::Known(n), Priority::Low, 1))
            .chain((0..high).map(|n| claim(Standing::Known(low + n), Priority::High, 1)))
            .collect();
        let mut given = vec![0_u32; claims.len()];
        let mut clock = 0;
        for _ in 0..rounds {
            let shares = share(3, &claims);
            let served = || shares.iter().enumerate().filter(|(_, got)| **got > 0);
            clock = served().map(|(index, _)| claims[index].turn).min().unwrap_or(clock);
            for (index, got) in served() {
                given[index] += u32::try_from(*got).unwrap();
                claims[index].turn = next_turn(claims[index].turn, clock, claims[index].priority);
            }
        }
        let least = given[..low].iter().min().unwrap();
        assert!(*least > 100, "nobody starves: {given:?}");
        let most = given[..low].iter().max().unwrap();
        let high = given[low..].iter().min().unwrap();
        assert!(high >= most, "higher goes first: {given:?}");
    }
}

#[test]
fn nothing_is_wasted_and_nobody_gets_more_than_it_wants() {
    let mut seed: u64 = 42;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for _ in 0..2000 {
        let workers = usize::try_from(random(200)).unwrap();
        let claims: Vec<Claim> = (0..random(30))
            .map(|_| Claim {
                standing: match random(3) {
                    0 => Standing::Stranger,
                    1 => Standing::Inside,
                    _ => Standing::Known(usize::try_from(random(5)).unwrap()),
                },
                priority: [Priority::Low, Priority::Normal, Priority::High]
                    [usize::try_from(random(3)).unwrap()],
                wants: usize::try_from(random(50)).unwrap(),
                turn: random(100),
            })
            .collect();
        let shares = share(workers, &claims);
        let wanted = |stranger: bool| {
            let of_kind = claims.iter().filter(|claim| (claim.standing == Standing::Stranger) == stranger);
            of_kind.map(|claim| claim.wants).sum::<usize>()
        };
        let usable = wanted(false) + wanted(true).min(never_kept(workers));
        assert_eq!(shares.iter().sum::<usize>(), workers.min(usable), "{workers} among {claims:?}");
        assert!(shares.iter().zip(&claims).all(|(got, claim)| *got <= claim.wants));
    }
}
