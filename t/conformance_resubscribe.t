#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A subscription that is made again, 3.8.4, in a session that outlives its
# connection: whatever was changed, QoS, identifier, No Local, Retain As
# Published, is what counts from then on, also for messages that come while
# nobody is connected, and after the session came back to any worker.  Message
# Expiry of what waits in a session, for a group, and of wills.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ prop /;
use Test::More;

###############################################################################

use constant {
    NO_LOCAL => 4,
    RAP      => 8,
    NEW      => 0x10,
};

my $t = MqttTest->new;

$t->write_conf(workers => 2, listen => 'reuseport');
$t->run;

my ($one, $two) = $t->worker_pids;

my $publisher = $t->client_at($one, version => 5);

# [ name, first, then: each options and identifier; what comes of a QoS 2
#   message with RETAIN: QoS, RETAIN, identifiers, or nothing ]

my @cases = (
    [ 'QoS raised', [ 0, 1 ], [ 2, 1 ], '2 0 1' ],
    [ 'QoS lowered', [ 2, 1 ], [ 1, 1 ], '1 0 1' ],
    [ 'QoS lowered to 0', [ 2, 1 ], [ 0, 1 ], '0 0 1' ],
    [ 'another identifier', [ 1, 1 ], [ 1, 268_435_455 ],
      '1 0 268435455' ],
    [ 'no identifier', [ 1, 1 ], [ 1 ], '1 0 ' ],
    [ 'the first identifier', [ 1 ], [ 1, 7 ], '1 0 7' ],
    [ 'Retain As Published set', [ 1, 1 ], [ 1 | RAP, 1 ], '1 1 1' ],
    [ 'Retain As Published cleared', [ 1 | RAP, 1 ], [ 1, 1 ], '1 0 1' ],
    [ 'No Local set', [ 1, 1 ], [ 1 | NO_LOCAL, 1 ], '1 0 1' ],
    [ 'all at once', [ 0 ], [ 2 | RAP | NO_LOCAL, 9 ], '2 1 9' ],
);

my ($n, $number) = (0, 0);

for my $case (@cases) {
    my ($name, $first, $then, $expected) = @$case;
    my $topic = 'case/' . ++$number;
    my %session = (version => 5, client_id => "case-$number", clean => 0,
                   props => [ [ session_expiry => 100 ] ]);
    my $offline = $expected =~ /^0/ ? '' : $expected;

    my $c = $t->client_at($one, %session);

    subscribe($c, $topic, $first);
    is_deeply(subscribe($c, $topic, $then)->{codes}, [ $then->[0] & 3 ],
              "$name: granted");
    is(arrives($c, $topic), $expected, "MQTT-3.8.4-3, $name: at once");

    $c->disconnect;
    gone();

    # away, as far as it is stored, then at the other worker

    publish($topic, 'away');

    $c = $t->client_at($two, %session);
    is($c->connack->{session_present}, 1, "$name: session present");
    is($offline ? described($c->recv_message) : '', $offline,
       "$name: while it was away") if $offline;
    is(arrives($c, $topic), $expected, "$name: after it is back");

    # an existing subscription, 3.3.1-10: also of a session that is resumed

    subscribe($c, $topic, [ ($then->[0] | NEW), @$then[1 .. $#$then] ]);
    is(arrives($c, $topic), $expected,
       "MQTT-3.3.1-10, $name: it existed, nothing is retained for it");

    if ($then->[0] & NO_LOCAL) {
        $c->publish_wait($topic, 'own', qos => 1);
        is($c->recv_message(0.3), undef,
           "MQTT-3.8.3-3, $name: not what it publishes");
    }

    $c->disconnect(props => [ [ session_expiry => 0 ] ]);
    gone();
    $publisher->publish_wait($topic, '', qos => 1, retain => 1);
}

# retained messages are sent again with Retain Handling 0, [MQTT-3.8.4-4], and
# the last options of a filter that is in a packet twice count, [MQTT-3.8.4-5]

$publisher->publish_wait('twice/1', 'kept', qos => 1, retain => 1);

my $c = $t->client_at($two, version => 5);

for my $round (1, 2) {
    is_deeply($c->subscribe('twice/1' => 1, 'twice/1' => 0)->{codes}, [ 1, 0 ],
              "MQTT-3.8.4-5: the same filter twice, $round");
    is(described($c->recv_message), '0 1 ',
       "MQTT-3.8.4-4: what is retained, $round");
}

$publisher->publish_wait('twice/1', 'live', qos => 1);
is(described($c->recv_message), '0 0 ', 'the last one counts');
is($c->recv_message(0.3), undef, 'and is the only one');
$c->disconnect;

# a shared subscription that is persistent, made again

my %member = (version => 5, client_id => 'member', clean => 0,
              props => [ [ session_expiry => 100 ] ]);

$c = $t->client_at($one, %member);
subscribe($c, '$share/g/shared/+', [ 2, 3 ]);
subscribe($c, '$share/g/shared/+', [ 1 | RAP, 4 ]);
is(arrives($c, 'shared/1', 0), '1 0 4', 'shared: made again, at once');
$c->disconnect;
gone();

publish('shared/1', 'away', 0);
$c = $t->client_at($two, %member);
is(described($c->recv_message), '1 0 4', 'shared: while it was away');
is(arrives($c, 'shared/1', 0), '1 0 4', 'shared: after it is back');
$c->disconnect;
gone();

# what has expired meanwhile is not delivered, the rest says what is left,
# [MQTT-3.3.2-5], [MQTT-3.3.2-6]

my %waits = (version => 5, client_id => 'waits', clean => 0,
             props => [ [ session_expiry => 100 ] ]);

$c = $t->client_at($one, %waits);
$c->subscribe('expiry/#' => 1);
$c->disconnect;
gone();

for my $topic ('expiry/1', 'shared/1') {
    $publisher->publish_wait($topic, $_, qos => 1,
                             props => [ [ message_expiry => $_ ] ])
        for 1, 100;
    $publisher->publish_wait($topic, 'never', qos => 1);
}

my $sent = now();

wait_for { now() - $sent > 2.1 };

for my $case ([ 'a session', \%waits ], [ 'a group', \%member ]) {
    my ($name, $session) = @$case;

    $c = $t->client_at($two, %$session);

    my $m = $c->recv_message // {};
    my $left = prop($m, 'message_expiry') // -1;

    is($m->{payload}, 100, "MQTT-3.3.2-5, $name: what has not expired");
    ok($left <= 98 && $left >= 100 - (now() - $sent) - 2,
       "MQTT-3.3.2-6, $name: what is left") or diag($left);

    $m = $c->recv_message // {};
    is($m->{payload}, 'never', "$name: what never does");
    is(prop($m, 'message_expiry'), undef, "$name: and says nothing");
    $c->disconnect(props => [ [ session_expiry => 0 ] ]);
    gone();
}

# the lifetime of a will begins when it is published, 3.1.3.2.4

my $watcher = $t->client_at($two, version => 5);
$watcher->subscribe('will/#' => 1);

$c = $t->client_at($one, version => 5, clean => 0,
                   props => [ [ session_expiry => 100 ] ],
                   will => { topic => 'will/1', payload => 'w', qos => 1,
                             props => [ [ will_delay => 2 ],
                                        [ message_expiry => 1 ],
                                        [ user_property => 'b', '1' ],
                                        [ user_property => 'a', '2' ],
                                        [ user_property => 'b', '3' ] ] });
$c->abort;

my $will = $watcher->recv_message // {};

is($will->{payload}, 'w', '3.1.3.2.4: a will that expires before its delay');
is_deeply([ map { "$_->[1]=$_->[2]" }
            grep { $_->[0] eq 'user_property' } @{ $will->{props} // [] } ],
          [ qw/ b=1 a=2 b=3 / ],
          'MQTT-3.1.3-10: user properties in their order');
is(prop($will, 'will_delay'), undef, 'the delay is not sent');

done_testing();

###############################################################################

# with the identifier of the pair, if there is one

sub subscribe {
    my ($c, $filter, $pair) = @_;

    my ($options, $id) = @$pair;
    my $packet_id = $c->next_id;

    $c->send(SUBSCRIBE => packet_id => $packet_id,
             filters => [ [ $filter => $options ] ],
             props => [ $id ? [ subscription_id => $id ] : () ]);

    # retained messages come behind it

    return $c->recv_wanted(sub {
        $_[0]{type} eq 'SUBACK' && $_[0]{packet_id} == $packet_id;
    }) // {};
}


sub publish {
    my ($topic, $payload, $retain) = @_;

    $publisher->publish_wait($topic, $payload, qos => 2,
                             retain => $retain // 1);
}


# what comes of a message that is published now, which has to be the next one

sub arrives {
    my ($c, $topic, $retain) = @_;

    my $payload = 'live ' . ++$n;

    publish($topic, $payload, $retain);

    my $m = $c->recv_message;

    return !$m || $m->{payload} eq $payload ? described($m)
                                            : "unexpected $m->{payload}";
}


sub described {
    my ($m) = @_;

    return 'nothing' if !$m;
    return join ' ', $m->{qos}, $m->{retain},
                join ',', map { $_->[1] }
                          grep { $_->[0] eq 'subscription_id' }
                               @{ $m->{props} // [] };
}


sub gone {
    wait_for { $t->total('clients') == 1 };
}

###############################################################################
