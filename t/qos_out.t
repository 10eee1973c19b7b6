#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Messages to a client with QoS 1 and 2, 4.3, 4.6, 4.9: packet ids, the steps
# of QoS 2, acknowledgements that do not fit, Receive Maximum, order, the
# client's Maximum Packet Size and Topic Alias Maximum.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ prop /;
use Test::More tests => 117 - 3 + 15 + 12;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, listen => 'reuseport', servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_window%%;
        mqtt_pass test;
        mqtt_send_window 2;
    }
END

$t->run;

my ($one, $two) = $t->worker_pids;
my $p = $t->client_at($one, version => 4);

for my $version (3, 4, 5) {
    steps($version);
}

# a PUBREC with an error ends the exchange, [MQTT-4.3.3-4]

my $s = subscriber(5, [ [ receive_maximum => 1 ] ], 'e/#' => 2);

$p->publish_wait("e/$_", 'x', qos => 2) for 1 .. 3;

my $m = $s->expect(PUBLISH => topic => 'e/1', qos => 2);

$s->send(PUBREC => packet_id => $m->{packet_id}, reason => 0x83,
         props => [ [ reason_string => 'no room' ] ]);
$m = $s->expect(PUBLISH => topic => 'e/2',
                -name => 'PUBREC with an error: no PUBREL, the next message');

$s->send(PUBREC => packet_id => $m->{packet_id}, reason => 0x10);
$s->expect(PUBREL => packet_id => $m->{packet_id}, reason => 0,
           -name => 'PUBREC 0x10 is a success');
$s->send(PUBCOMP => packet_id => $m->{packet_id}, reason => 0x92);
$m = $s->expect(PUBLISH => topic => 'e/3',
                -name => 'PUBCOMP with an error: the id is free');
$s->send(PUBREC => packet_id => $m->{packet_id}, reason => 0x97, props => []);
$s->subscribe('e/4' => 1);
$p->publish_wait('e/4', 'x', qos => 1);
$m = $s->expect(PUBLISH => topic => 'e/4', qos => 1);
$s->send(PUBACK => packet_id => $m->{packet_id}, reason => 0x80,
         props => [ [ user_property => 'a', 'b' ] ]);
$p->publish_wait('e/5', 'x', qos => 2);
$m = $s->expect(PUBLISH => topic => 'e/5',
                -name => 'PUBACK with an error: the next message');
$s->expect_alive('nothing is sent again');
$s->disconnect;

# Receive Maximum, 4.9: sent and not acknowledged are at most so many

for my $maximum (1, 3) {
    $s = subscriber(5, [ [ receive_maximum => $maximum ] ], 'w/#' => 2,
                    'w0' => 0);

    for my $n (1 .. 10) {
        $p->publish_wait("w/$n", "$n", qos => 1 + $n % 2);
    }

    my @held = map { $s->recv } 1 .. $maximum;

    is(join(' ', map { $_->{payload} } @held), join(' ', 1 .. $maximum),
       "MQTT-3.3.4-9: Receive Maximum $maximum");
    $s->expect_alive('and no more');

    $p->publish('w0', 'x');
    $p->is_alive;
    $s->expect(PUBLISH => topic => 'w0', -name => 'QoS 0 does not count');

    my @got = map { $_->{payload} } @held;
    my $most = 0;

    while (@got < 10 && @held) {
        $m = shift @held;

        if ($m->{qos} == 2) {

            # PUBREC leaves it in flight

            $s->send(PUBREC => packet_id => $m->{packet_id});
            $s->recv;
            $s->send(PUBCOMP => packet_id => $m->{packet_id});

        } else {
            $s->send(PUBACK => packet_id => $m->{packet_id});
        }

        $m = $s->recv or last;
        push @held, $m;
        push @got, $m->{payload};
        $most = @held if @held > $most;
    }

    is(join(' ', @got), join(' ', 1 .. 10),
       'MQTT-4.6.0-5: one more for each acknowledgement, in order');
    is($most, $maximum, 'never more than Receive Maximum');
    $s->expect_alive;
    $s->disconnect;
}

# 3.1 and 3.1.1 have no such limit, mqtt_send_window is one for all

for my $version (3, 4, 5) {
    $s = $t->client(version => $version, port => 'window', auto_ack => 0);
    $s->subscribe('sw' => 1);
    $p->publish_wait('sw', $_, qos => 1) for 1 .. 5;

    my @held = map { $s->recv } 1 .. 2;

    $s->expect_alive("$version: mqtt_send_window");

    for my $n (3 .. 5) {
        $s->send(PUBACK => packet_id => (shift @held)->{packet_id});
        push @held, $s->recv;
    }

    is(join(' ', map { $_->{payload} } @held), '4 5', "$version: in order");
    $s->disconnect;
}

for my $version (3, 4, 5) {
    wrong($version, 1, qw/ PUBREC /);
    wrong($version, 1, qw/ PUBCOMP /);
    wrong($version, 2, qw/ PUBACK /);
    wrong($version, 2, qw/ PUBCOMP /);
    wrong($version, 2, qw/ PUBREC PUBACK /);
}

limits();
aliases();


# the steps of QoS 1 and 2 and what may come in their place

sub steps {
    my ($version) = @_;

    my $v = $version;

    $s = subscriber($version, [], 's/#' => 2);

    # ids of their own, not zero, free again afterwards

    $p->publish_wait('s/1', "n $_", qos => $_ == 2 ? 2 : 1) for 1 .. 3;

    my @m = map { $s->recv } 1 .. 3;
    my %ids = map { $_->{packet_id} => 1 } @m;

    is(join(', ', map { "$_->{qos} $_->{payload}" } @m), '1 n 1, 2 n 2, 1 n 3',
       "MQTT-4.6.0-6, $v: in order");
    is(keys %ids, 3, "MQTT-2.2.1-4, $v: an id for each");
    is(grep({ $_ == 0 } keys %ids), 0, "MQTT-2.2.1-3, $v: not zero");
    is(grep({ $_->{dup} } @m), 0, "MQTT-4.3.2-2, $v: DUP 0");

    my ($first, $second, $third) = map { $_->{packet_id} } @m;

    # not expected by anybody: ids that are not in use

    my $unused = 5000;

    $s->queue(PUBACK => packet_id => $unused);
    $s->queue(PUBCOMP => packet_id => $unused);
    $s->queue('PINGREQ');
    $s->flush;
    $s->expect(PINGRESP => -name => "$v: what does not fit is passed over");

    $s->send(PUBREC => packet_id => $unused);
    $s->expect(PUBREL => packet_id => $unused,
               reason => $version == 5 ? 0x92 : 0,
               -name => "3.6.2.1, $v: PUBREC of nothing");

    # QoS 2 to the end; PUBREC may come twice

    $s->send(PUBREC => packet_id => $second);
    $s->expect(PUBREL => packet_id => $second, reason => 0, flags => 2,
               -name => "MQTT-4.3.3-4, MQTT-3.6.1-1, $v: PUBREL");
    $s->send(PUBREC => packet_id => $second);
    $s->expect(PUBREL => packet_id => $second, reason => 0,
               -name => "$v: PUBREL again");
    $s->send(PUBCOMP => packet_id => $second);
    $s->send(PUBREC => packet_id => $second);
    $s->expect(PUBREL => packet_id => $second,
               reason => $version == 5 ? 0x92 : 0,
               -name => "$v: PUBREC after PUBCOMP");
    $s->send(PUBCOMP => packet_id => $second);

    # acknowledged in another order, the client's affair

    $s->send(PUBACK => packet_id => $_) for $third, $first, $first;
    $s->expect_alive("$v: all are settled");

    # both directions have ids of their own, 2.2.1

    $p->publish_wait('s/2', 'x', qos => 2);
    $m = $s->recv;
    $s->publish('elsewhere', 'y', qos => 2, packet_id => $m->{packet_id});
    $s->expect(PUBREC => packet_id => $m->{packet_id},
               -name => "2.2.1, $v: the same id the other way");
    $s->send(PUBREC => packet_id => $m->{packet_id});
    $s->expect(PUBREL => packet_id => $m->{packet_id}, reason => 0);
    $s->send(PUBREL => packet_id => $m->{packet_id});
    $s->expect(PUBCOMP => packet_id => $m->{packet_id}, reason => 0);
    $s->send(PUBCOMP => packet_id => $m->{packet_id});
    $s->expect_alive;

    # order by QoS and topic while some are not acknowledged

    my $n = 100;

    for my $i (1 .. $n) {
        $p->queue(PUBLISH => topic => 's/' . $i % 3, payload => $i,
                             qos => $i % 3, packet_id => $i % 3 ? $i : undef);
    }

    $p->flush;

    my (%order, %used);
    my $got = 0;
    my $twice = 0;
    my @held;

    while ($got < $n) {
        $m = $s->recv or last;

        if ($m->{type} eq 'PUBREL') {
            $s->send(PUBCOMP => packet_id => $m->{packet_id});
            delete $used{$m->{packet_id}};
            next;
        }

        $got++;
        push @{ $order{"$m->{topic} $m->{qos}"} }, $m->{payload};
        next if !$m->{qos};

        $twice++ if $used{$m->{packet_id}}++;
        push @held, $m;
        next if @held < 10;

        for my $held (reverse splice @held) {
            $s->queue(($held->{qos} == 1 ? 'PUBACK' : 'PUBREC'),
                      packet_id => $held->{packet_id});
            delete $used{$held->{packet_id}} if $held->{qos} == 1;
        }

        $s->flush;
    }

    is($twice, 0, "MQTT-2.2.1-4, $v: no id of an open exchange");
    is(keys %order, 3, "$v: a topic with each QoS");
    is_deeply($order{'s/0 0'}, [ map { 3 * $_ } 1 .. 33 ],
              "MQTT-4.6.0-5, $v: in order, QoS 0");
    is_deeply($order{'s/1 1'}, [ map { 3 * $_ + 1 } 0 .. 33 ],
              "MQTT-4.6.0-5, $v: in order, QoS 1");
    is_deeply($order{'s/2 2'}, [ map { 3 * $_ + 2 } 0 .. 32 ],
              "MQTT-4.6.0-5, $v: in order, QoS 2");

    # answers of the publisher are not ours to wait for

    for (1 .. 2 * $n) {
        my $answer = $p->recv or last;

        $p->send(PUBREL => packet_id => $answer->{packet_id})
            if $answer->{type} eq 'PUBREC';
        last if $answer->{type} eq 'PUBCOMP' && $answer->{packet_id} == 98;
    }

    is($p->is_alive, 1, "$v: the publisher was served");
    $s->disconnect;
}


# an acknowledgement that is not for the QoS of the message, or too early:
# [MQTT-4.3.2-4], [MQTT-4.3.3-8], [MQTT-4.13.1-1], 3.1.1 [MQTT-4.8.0-1]

sub wrong {
    my ($version, $qos, @types) = @_;

    $s = subscriber($version, [], 'wr/#' => 2);
    $p->publish_wait('wr/1', 'x', qos => $qos);

    my $id = $s->recv->{packet_id};
    my $last = pop @types;

    for my $type (@types) {
        $s->send($type => packet_id => $id);
        $s->recv;
    }

    $s->send($last => packet_id => $id);
    $s->expect_disconnect(0x82, "$version: @types $last for QoS $qos");
}


# [MQTT-3.1.2-24], [MQTT-3.1.2-25]: what is too large is not sent, and all goes
# on as if it had been

sub limits {
    my @max = ([ maximum_packet_size => 100 ]);

    $s = subscriber(5, [ @max, [ receive_maximum => 1 ] ], 'm/#' => 2);

    my $dropped = $t->total('messages_out_dropped');

    # fixed header 2, topic 2 + 3, id 2, properties 1

    for my $case ([ 0, 100 - 8, 1 ], [ 0, 100 - 7, 0 ], [ 1, 100 - 10, 1 ],
                  [ 1, 100 - 9, 0 ], [ 2, 100 - 10, 1 ], [ 2, 1000, 0 ],
                  [ 1, 5000, 0 ])
    {
        my ($qos, $size, $sent) = @$case;

        $p->publish_wait('m/1', 'x' x $size, qos => $qos);
        $p->publish_wait('m/2', 'next', qos => 1);

        my $m = $s->recv // {};

        if ($sent) {
            is(length($m->{payload} // ''), $size,
               "MQTT-3.1.2-24: QoS $qos, $size bytes are sent");
            settle($m);
            $m = $s->recv // {};
        }

        is($m->{payload}, 'next',
           "MQTT-3.1.2-25: QoS $qos, $size bytes, then the next one");
        settle($m);
    }

    is($t->total('messages_out_dropped'), $dropped + 4, 'counted');

    # properties count as well

    my $five = $t->client_at($one);

    $five->publish_wait('m/1', 'x', qos => 1,
                        props => [ [ user_property => 'a', 'x' x 90 ] ]);
    $five->publish_wait('m/2', 'y', qos => 1);
    $s->expect(PUBLISH => payload => 'y',
               -name => 'MQTT-3.1.2-24: too large with its properties');
    $s->disconnect;

    # others get it

    my $all = subscriber(5, [], 'm/#' => 1);

    $s = subscriber(5, [ @max ], 'm/#' => 1);
    $p->publish_wait('m/1', 'x' x 200, qos => 1);
    is(length $all->recv_message->{payload}, 200, 'a client without a limit');
    $s->expect_alive('MQTT-3.1.2-24: nothing to the one with');

    # answers are not sent either, but nothing can be said in their place

    $s = $t->client_at($two, props => [ [ maximum_packet_size => 20 ] ]);
    $s->send(SUBSCRIBE => packet_id => 1, filters => [ map { [ "f/$_", 1 ] }
                                                           1 .. 15 ]);
    $s->expect(SUBACK => -name => 'SUBACK of 20 bytes');
    $s->send(SUBSCRIBE => packet_id => 1, filters => [ map { [ "f/$_", 1 ] }
                                                           1 .. 16 ]);
    $s->expect_disconnect(0x95, 'MQTT-3.1.2-24: SUBACK of 21 bytes');

    for my $case ([ 1, 'close' ], [ 4, 'close' ], [ 5, 0x95 ], [ 15, 0x95 ],
                  [ 16, 0 ])
    {
        my ($size, $expected) = @$case;

        my $c = $t->socket(version => 5);
        my $connack = $c->connect(clean => 1, client_id => 'tiny',
                                  props => [ [ maximum_packet_size
                                               => $size ] ]);

        is($connack ? $connack->{reason} : 'close', $expected,
           "MQTT-3.1.2-24: Maximum Packet Size $size and CONNACK");

        $expected ? $c->expect_close : $c->expect_alive;
        $c->close;
    }

    # CONNACK and SUBACK are within small limits, too

    my $tiny = $t->socket(version => 5);

    is($tiny->connect(props => [ [ maximum_packet_size => 20 ] ])->{reason}, 0,
       'Maximum Packet Size 20');
    cmp_ok(length $tiny->connack->{raw}, '<=', 20, 'CONNACK is as small');
    $tiny->expect_alive;

    $_->disconnect for $all, $s, $five, $tiny;
}


# an alias is set with its topic, then used alone; never above the maximum

sub aliases {
    my $maximum = 2;

    $s = subscriber(5, [ [ topic_alias_maximum => $maximum ] ], 'al/#' => 0);

    my %topic;

    for my $n (1, 1, 2, 1, 3, 2, 3, 1) {
        $p->publish("al/$n", "of al/$n");

        my $m = $s->recv_message // {};
        my $alias = prop($m, 'topic_alias');
        my $topic = $m->{topic};

        if (defined $alias) {
            $topic{$alias} = $topic if length $topic;
            $topic = $topic{$alias} // 'unknown';
        }

        ok(($alias // 1) >= 1 && ($alias // 1) <= $maximum
           && "of $topic" eq ($m->{payload} // ''),
           "MQTT-3.1.2-26: al/$n, alias " . ($alias // 'none')
           . (length $m->{topic} ? ' with' : ' without') . ' its topic');
    }

    is(keys %topic, 2, 'aliases are used');
    $s->disconnect;

    # of this connection only, and not for who allows none

    $s = subscriber(5, [ [ topic_alias_maximum => $maximum ] ], 'al/#' => 0);
    $p->publish('al/1', 'x');
    is($s->recv_message->{topic}, 'al/1',
       'MQTT-3.3.2-7: a new connection has no aliases');
    $s->disconnect;

    for my $props ([], [ [ topic_alias_maximum => 0 ] ]) {
        $s = subscriber(5, $props, 'al/#' => 0);
        $p->publish('al/1', 'x');
        $s->expect(PUBLISH => topic => 'al/1', props => [],
                   -name => 'MQTT-3.1.2-27: no alias');
        $s->disconnect;
    }
}


sub settle {
    my ($m) = @_;

    return if !$m->{qos};
    return $s->send(PUBACK => packet_id => $m->{packet_id}) if $m->{qos} == 1;

    $s->send(PUBREC => packet_id => $m->{packet_id});
    $s->recv;
    $s->send(PUBCOMP => packet_id => $m->{packet_id});
}


# at the other worker; acknowledges nothing by itself

sub subscriber {
    my ($version, $props, @filters) = @_;

    my $c = $t->client_at($two, version => $version, auto_ack => 0,
                          props => $props);

    $c->subscribe(@filters);

    return $c;
}

###############################################################################
