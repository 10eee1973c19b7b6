#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# P2P to a client that is offline: stored if the sender's session is
# persistent, that of the addressee is, and QoS is 1 or 2; delivered when the
# session is resumed, in order and once, without a subscription; gone with the
# session.

###############################################################################

use warnings;
use strict;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $down = $kafka->topic('command');
my $chat = $kafka->topic('chat');

$t->write_conf(kafka => 1, workers => 2,
               server => 'mqtt_send_window 10;', gateway => <<"END");
topic command kafka=$down downlink;
        topic chat kafka=$chat uplink;
END

$t->run;
ok($t->wait_total(kafka_partitions => 1, 20), 'the partition is assigned');

my %sender = (
    true  => $t->client(client_id => 'clean'),
    false => $t->client(client_id => 'persistent', clean => 0,
                        props => [ [ session_expiry => 600 ] ]),
);

###############################################################################
# who is stored for: flag of the sender, session of the addressee, QoS

my $n = 0;

for my $v (4, 5) {
    for my $expiry (0, 600) {
        for my $flag (qw/ true false none /) {
            for my $qos (0 .. 2) {
                combination($v, $expiry, $flag, $qos);
            }
        }
    }
}


sub combination {
    my ($v, $expiry, $flag, $qos) = @_;

    my $id = 'target-' . ++$n;
    my $name = "$v, expiry $expiry, flag $flag, QoS $qos";
    my $stored = $expiry && $flag eq 'false' && $qos;

    leave($t->client(session($v, $id, $expiry)));

    my @names = ('device', 'Kafka');

    if ($flag ne 'none') {
        my $reason = publish($sender{$flag}, "chat/p2p/$id", 'device', $qos);
        is($reason, $qos && !$stored ? 0x10 : 0, "$name: the reason code");

    } else {
        shift @names;
    }

    kafka($id, 'Kafka', qoslevel => $qos,
          $flag ne 'none' ? (cleansessionflag => $flag) : ());

    my $c = $t->client(session($v, $id, $expiry));

    is($c->connack->{session_present}, $expiry ? 1 : 0, "$name: resumed");

    if ($stored) {
        is_deeply([ map { seen($c) } @names ],
                  [ [ "chat/p2p/$id", 'device', $qos, 0 ],
                    [ "command/p2p/$id", 'Kafka', $qos, 0 ] ],
                  "$name: delivered");
    }

    $c->expect_alive("$name: nothing else");

    # now that it is there everything reaches it

    if ($flag ne 'none') {
        is(publish($sender{$flag}, "chat/p2p/$id", 'live', $qos), 0,
           "$name: live");
        is_deeply(seen($c), [ "chat/p2p/$id", 'live', $qos, 0 ],
                  "$name: with its QoS");
    }

    kafka($id, 'live', qoslevel => $qos,
          $flag ne 'none' ? (cleansessionflag => $flag) : ());
    is_deeply(seen($c), [ "command/p2p/$id", 'live', $qos, 0 ],
              "$name: from Kafka");

    $c->expect_alive;
    leave($c);
}

# with the last of them nothing is left

clean_up("target-$_") for 1 .. $n;
is_deeply([ leftovers() ], [], 'nothing is left in Redis');

###############################################################################
# nobody there

is(publish($sender{false}, 'chat/p2p/nobody', 'x', 1), 0x10,
   'a client that never was there');
is_deeply([ leftovers() ], [], 'for which nothing is stored');

###############################################################################
# any client id; another topic

for my $id ('a/b', '/', 'a//', 'ünïcödé', '車両/1', 'a@@@b', '{c:x}p', '%V') {
    utf8::encode(my $bytes = $id);

    leave($t->client(session(5, $bytes, 600)));

    is(publish($sender{false}, "chat/p2p/$bytes", 'one', 1), 0, $bytes);
    kafka($bytes, 'two', qoslevel => 2, cleansessionflag => 'false',
          mqttRealTopic => '/for/you');
    kafka($bytes, 'three', qoslevel => 1, cleansessionflag => 'false',
          mqttRealTopic => 'x');

    my $c = $t->client(session(5, $bytes, 600));

    is_deeply([ map { seen($c) } 1 .. 3 ],
              [ [ "chat/p2p/$bytes", 'one', 1, 0 ],
                [ 'command/for/you', 'two', 2, 0 ], [ 'x', 'three', 1, 0 ] ],
              "$bytes: stored");

    $c->expect_alive;
    $c->disconnect(props => [ [ session_expiry => 0 ] ]);
}

wait_for { !leftovers() };
is_deeply([ leftovers() ], [], 'nothing is left in Redis');

###############################################################################
# thousands more than fit the window, in order and once, also with a
# subscription that matches; bounded

for my $qos (1, 2) {
    my @session = session(5, "many-$qos", 600);
    my $c = $t->client(@session);

    $c->subscribe("chat/p2p/many-$qos" => 2, '#' => 2);
    leave($c);

    MqttTest::Client->publish_many([ $sender{false} ],
        count => 900, qos => $qos, topic => "chat/p2p/many-$qos",
        payload => sub { $_[1] });

    my @got;

    # in pieces, with connections that just break

    for my $round (1 .. 4) {
        $c = $t->client(@session);

        while (@got < 900) {
            my $m = $c->recv_message or last;

            push @got, $m->{payload} if !@got || $m->{payload} != $got[-1];
            last if @got >= $round * 250;
        }

        $c->is_alive;
        $round % 2 ? $c->abort : $c->disconnect;
        ok($t->wait_total(clients => 2, 5), 'gone');
    }

    is_deeply(\@got, [ 0 .. 899 ], "QoS $qos: all, in order, once");

    # what is acknowledged is not kept

    is($t->redis->command('LLEN', "test:{c:many-$qos}p"), 0,
       "QoS $qos: the inbox is empty");

    # more than the bound: the newest

    my $discarded = $t->total('messages_discarded');

    MqttTest::Client->publish_many([ $sender{false} ],
        count => 1100, qos => $qos, topic => "chat/p2p/many-$qos",
        payload => sub { $_[1] });

    is($t->redis->command('LLEN', "test:{c:many-$qos}p"), 1000,
       "QoS $qos: the bound");
    is($t->total('messages_discarded') - $discarded, 100, 'counted');

    $c = $t->client(@session);
    @got = map { ($c->recv_message || {})->{payload} } 1 .. 1000;
    is_deeply(\@got, [ 100 .. 1099 ], "QoS $qos: the newest are there");

    $c->expect_alive;
    $c->disconnect(props => [ [ session_expiry => 0 ] ]);
}

###############################################################################
# unacknowledged: again, with DUP and the packet id; QoS 2 goes on where it was

for my $v (4, 5) {
    my @session = session($v, "again-$v", 600);

    leave($t->client(@session));

    publish($sender{false}, "chat/p2p/again-$v", 'one', 1);
    publish($sender{false}, "chat/p2p/again-$v", 'two', 2);

    my $c = $t->client(@session, auto_ack => 0);

    my $one = $c->recv_message;
    my $two = $c->recv_message;

    is("$one->{payload} $one->{dup}, $two->{payload} $two->{dup}",
       'one 0, two 0', "$v: stored");

    $c->send(PUBREC => packet_id => $two->{packet_id});
    $c->expect(PUBREL => packet_id => $two->{packet_id});

    # live, and not acknowledged either

    publish($sender{true}, "chat/p2p/again-$v", 'three', 1);
    is($c->recv_message->{payload}, 'three', "$v: live");

    $c->abort;
    ok($t->wait_total(clients => 2, 5), 'gone');

    $c = $t->client(@session, auto_ack => 0);

    $c->expect(PUBREL => packet_id => $two->{packet_id},
               -name => "$v: PUBREL again");
    $c->expect(PUBLISH => packet_id => $one->{packet_id}, dup => 1,
               payload => 'one', -name => "$v: PUBLISH again");
    $c->expect(PUBLISH => dup => 1, payload => 'three',
               -name => "$v: what was live as well");

    $c->send(PUBCOMP => packet_id => $two->{packet_id});
    $c->expect_alive("$v: nothing else");

    clean_up("again-$v");
}

###############################################################################
# to itself

my $self = $t->client(session(5, 'self', 600));

publish($self, 'chat/p2p/self', "qos $_", $_) for 0 .. 2;
is_deeply([ sort map { seen($self)->[1] } 0 .. 2 ],
          [ 'qos 0', 'qos 1', 'qos 2' ], 'to itself');
leave($self);
clean_up('self');

###############################################################################
# the time of a message, and of a session

leave($t->client(session(5, 'time', 600)));

$sender{false}->publish_wait('chat/p2p/time', 'short', qos => 1,
                             props => [ [ message_expiry => 1 ] ]);
$sender{false}->publish_wait('chat/p2p/time', 'long', qos => 1,
                             props => [ [ message_expiry => 600 ] ]);

my $since = now();
wait_for { now() - $since > 1.2 };

my $c = $t->client(session(5, 'time', 600));
my $m = $c->recv_message;

is($m->{payload}, 'long', 'what has expired is not delivered');
my ($left) = map { $_->[1] } grep { $_->[0] eq 'message_expiry' }
             @{ $m->{props} };
ok($left > 590 && $left < 600, 'what is left of its time is told');
$c->expect_alive;
clean_up('time');

# a session that is over, without and with subscriptions

for my $subscribed (0, 1) {
    my $c = $t->client(session(5, 'over', 1));

    $c->subscribe('over' => 1) if $subscribed;
    leave($c);

    is(publish($sender{false}, 'chat/p2p/over', 'x', 1), 0, 'stored');
    is($t->redis->command('LLEN', 'test:{c:over}p'), 1, 'in the inbox');

    ok(wait_for { !leftovers() }, 'which ends with the session')
        or diag(join ' ', leftovers());
    is(publish($sender{false}, 'chat/p2p/over', 'x', 1), 0x10,
       'and does not come back');
}

# stored while it was connected, and never acknowledged

$c = $t->client(session(5, 'over', 1), auto_ack => 0);
publish($sender{false}, 'chat/p2p/over', 'x', 1);
ok($c->recv_message, 'pushed');
leave($c);
ok(wait_for { !leftovers() }, 'gone with the session')
    or diag(join ' ', leftovers());

# a clean start; the numbers of the next inbox are not those of the last one

leave($t->client(session(5, 'anew', 600)));
publish($sender{false}, 'chat/p2p/anew', "old $_", 1) for 1 .. 3;

$c = $t->client(session(5, 'anew', 600), clean => 1);
is($c->connack->{session_present}, 0, 'a clean start');
is($t->redis->command('LLEN', 'test:{c:anew}p'), 0, 'has no inbox');
$c->expect_alive('and gets nothing');

publish($sender{false}, 'chat/p2p/anew', "new $_", 1) for 1 .. 3;
is(join(', ', map { seen($c)->[1] } 1 .. 3), 'new 1, new 2, new 3', 'anew');
$c->expect_alive;
leave($c);

publish($sender{false}, 'chat/p2p/anew', "newer $_", 1) for 1 .. 3;
$c = $t->client(session(5, 'anew', 600));
is(join(', ', map { seen($c)->[1] } 1 .. 3), 'newer 1, newer 2, newer 3',
   'stored anew');
$c->expect_alive;
leave($c);

# resumed for the last time: it gets what there is, and nothing is kept

publish($sender{false}, 'chat/p2p/anew', "last $_", 1) for 1 .. 2;
$c = $t->client(session(5, 'anew', 0));
is(join(', ', map { seen($c)->[1] } 1 .. 2), 'last 1, last 2',
   'the last time');
publish($sender{false}, 'chat/p2p/anew', 'live', 1);
is(seen($c)->[1], 'live', 'and live');
leave($c);
is(publish($sender{false}, 'chat/p2p/anew', 'x', 1), 0x10, 'and over');

ok(wait_for { !leftovers() }, 'nothing is left in Redis')
    or diag(join ' ', leftovers());

done_testing();

###############################################################################

sub session {
    my ($v, $id, $expiry) = @_;

    # 3.1.1 has only sessions that end, and those that do not

    return (version => $v, client_id => $id,
            clean => $v == 4 && !$expiry ? 1 : 0,
            $v == 5 ? (props => [ [ session_expiry => $expiry ] ]) : ());
}


sub publish {
    my ($c, $topic, $payload, $qos) = @_;

    if ($qos == 1) {
        my $answer = $c->publish_wait($topic, $payload, qos => 1) // {};

        return $answer->{reason};
    }

    my $id = $c->publish($topic, $payload, qos => $qos);

    if ($qos == 0) {
        $c->is_alive;
        return 0;
    }

    my $answer = $c->recv_wanted(sub { $_[0]{type} eq 'PUBREC' }) // {};

    $c->send(PUBREL => packet_id => $id);
    $c->recv_wanted(sub { $_[0]{type} eq 'PUBCOMP' });

    return $answer->{reason};
}


# a record, until it is done

sub kafka {
    my ($id, $payload, @headers) = @_;

    my $consumed = $t->total('kafka_consumed');
    my @pairs = [ mqttSecondTopic => "/p2p/$id" ];

    push @pairs, [ splice @headers, 0, 2 ] while @headers;

    $kafka->write($down, { key => 'k', payload => $payload,
                           headers => \@pairs });

    wait_for {
        $t->total('kafka_consumed') > $consumed && !$t->total('kafka_inflight')
    } or fail("a record for $id is done");
}


sub seen {
    my ($c) = @_;

    my $m = $c->recv_message or return [ '', '' ];

    return [ @$m{qw/ topic payload qos retain /} ];
}


# the senders stay

sub leave {
    my ($c) = @_;

    $c->disconnect;
    $t->wait_total(clients => 2, 5) or fail('a client is gone');
}


sub clean_up {
    my ($id) = @_;

    leave($t->client(client_id => $id, version => 4));
}


# what there is of sessions other than the senders'

sub leftovers {
    return grep { !/\{c:(?:clean|persistent)\}/ }
           $t->redis->keys('test:{[cfx]*');
}

###############################################################################
