#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# What travels with a message in 5.0, 3.3.2.3, and what does not: properties
# in their order, from and to clients of all versions, requests and responses,
# the expiry that is counted down.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ prop /;
use Test::More tests => 73;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, listen => 'reuseport');
$t->run;

my ($one, $two) = $t->worker_pids;

my @all = (
    [ payload_format => 1 ],
    [ content_type => "text/pl\xc3\xa9in" ],
    [ response_topic => "answers/f\xc3\xbcr/me" ],
    [ correlation_data => "\0\xff\x80 any bytes" ],
    [ user_property => 'b', '1' ],
    [ user_property => 'a', '2' ],
    [ user_property => 'b', '' ],
    [ user_property => '', 'without a name' ],
    [ user_property => 'a', '2' ],
    [ user_property => "\xf0\x9f\x98\x80", "\xe2\x82\xac" ],
);

my @cases = (
    [ 'all properties', \@all ],
    [ 'none', [] ],
    [ 'payload format 0', [ [ payload_format => 0 ] ] ],
    [ 'empty strings',
      [ [ content_type => '' ], [ correlation_data => '' ] ] ],
    [ 'correlation data of 65535 bytes',
      [ [ correlation_data => "\xfe" x 65535 ] ] ],
    [ '500 user properties',
      [ map { [ user_property => $_ % 7, "value $_" ] } 1 .. 500 ] ],
    [ 'user properties around others',
      [ [ user_property => 'x', '1' ], [ content_type => 't' ],
        [ user_property => 'y', '2' ], [ payload_format => 1 ],
        [ user_property => 'x', '3' ] ] ],
    [ 'a response topic', [ [ response_topic => '$private/x' ] ] ],
);

for my $where ([ 'one worker', $one ], [ 'two workers', $two ]) {
    my ($name, $pid) = @$where;
    my $p = $t->client_at($one);
    my $s = $t->client_at($pid);
    my %old = map { $_ => $t->client_at($pid, version => $_) } 3, 4;

    $_->subscribe('p/#' => 2) for $s, values %old;

    for my $qos (0 .. 2) {
        for my $case (@cases) {
            my ($what, $props) = @$case;

            $p->publish_wait('p/1', "payload of $what", qos => $qos,
                             props => $props);

            my $m = $s->recv_message // {};

            # others may have moved, user properties keep their order

            is(join('; ', ordered($m->{props}), $m->{payload}),
               join('; ', ordered($props), "payload of $what"),
               "MQTT-3.3.2-4 to 20, $name, QoS $qos: $what");

            $_->recv_message for values %old;
        }
    }

    # clients of 3.1 and 3.1.1 are shown nothing of it, and send nothing

    $p->publish_wait('p/2', 'plain', qos => 1, props => \@all);
    is($_->recv_message->{payload}, 'plain', "$name: to an older client")
        for values %old;
    $s->recv_message;

    $old{4}->publish_wait('p/3', "\x02\0\0", qos => 1);
    $s->expect(PUBLISH => payload => "\x02\0\0", props => [],
               -name => "$name: from 3.1.1");
    $_->recv_message for values %old;

    # a request and its response, 4.10

    my $asked = $t->client_at($pid);

    $asked->subscribe('service/add' => 1);
    $p->subscribe("reply/$name" => 1);
    $p->publish_wait('service/add', '2 3', qos => 1,
                     props => [ [ response_topic => "reply/$name" ],
                                [ correlation_data => "\0\1" ] ]);

    my $request = $asked->recv_message;

    $asked->publish_wait(prop($request, 'response_topic'), '5', qos => 1,
                         props => [ grep { $_->[0] eq 'correlation_data' }
                                         @{ $request->{props} } ]);

    my $response = $p->recv_message;

    is($response->{payload}, '5', "4.10, $name: a response");
    is(prop($response, 'correlation_data'), "\0\1",
       "4.10, $name: to this request");

    $_->disconnect for $p, $s, $asked, values %old;
}

# Message Expiry, [MQTT-3.3.2-5], [MQTT-3.3.2-6]: while a message waits for
# room in the window of its receiver

my $p = $t->client_at($one);
my $s = $t->socket_at($two, auto_ack => 0);

$s->connect(props => [ [ receive_maximum => 1 ] ]);
$s->subscribe('x/#' => 1, 'now' => 0);
$p->publish_wait('x/first', 'x', qos => 1,
                 props => [ [ message_expiry => 1 ] ]);

my $first = $s->expect(PUBLISH => topic => 'x/first',
                       -name => 'MQTT-3.3.2-6: not waiting, not expired');
my $left = prop($first, 'message_expiry');

ok(defined $left && ($left == 1 || $left == 0), 'the interval as it was')
    or diag(explain $left);

my $sent = now();

$p->publish_wait('x/long', 'x', qos => 1,
                 props => [ [ message_expiry => 100 ] ]);
$p->publish_wait('x/short', 'x', qos => 1,
                 props => [ [ message_expiry => 1 ] ]);
$p->publish_wait('x/zero', 'x', qos => 1,
                 props => [ [ message_expiry => 0 ] ]);
$p->publish_wait('x/never', 'x', qos => 1);
$p->publish_wait('x/largest', 'x', qos => 1,
                 props => [ [ message_expiry => 0xffffffff ] ]);

wait_for { now() - $sent > 2.1 };

$s->send(PUBACK => packet_id => $first->{packet_id});

my $m = $s->expect(PUBLISH => topic => 'x/long');

$left = prop($m, 'message_expiry') // -1;
ok($left <= 98 && $left >= 100 - (now() - $sent) - 1,
   'MQTT-3.3.2-6: counted down') or diag($left);

$s->send(PUBACK => packet_id => $m->{packet_id});
$m = $s->expect(PUBLISH => topic => 'x/never', props => [],
                -name => 'MQTT-3.3.2-5: what has expired is left out');
$s->send(PUBACK => packet_id => $m->{packet_id});
$m = $s->expect(PUBLISH => topic => 'x/largest');

$left = prop($m, 'message_expiry') // -1;
ok($left <= 0xffffffff - 2 && $left > 0xffffffff - 100, 'the largest one')
    or diag($left);

$s->send(PUBACK => packet_id => $m->{packet_id});
$s->expect_alive('and no more');

# to older clients without the property, expired all the same

my $old = $t->client_at($two, version => 4, auto_ack => 0);

$old->subscribe('y/#' => 1);
$p->publish_wait('y/1', 'x', qos => 1, props => [ [ message_expiry => 9 ] ]);
$old->expect(PUBLISH => topic => 'y/1', -name => '3.1.1: one with expiry');

# user properties of other packets stay where they are, 3.1.2.11.8 and so on

my $c = $t->client(props => [ [ user_property => 'c', 'connect' ] ]);

is_deeply([ grep { $_->[0] eq 'user_property' } @{ $c->connack->{props} } ],
          [], '3.1.2.11.8: those of CONNECT');
$c->send(SUBSCRIBE => packet_id => 1, filters => [ [ 'z', 1 ] ],
         props => [ [ user_property => 's', 'subscribe' ] ]);
$c->expect(SUBACK => props => [], -name => '3.8.2.1.3: those of SUBSCRIBE');
$p->publish_wait('z', 'x', qos => 1, props => [ [ user_property => 'p', 1 ] ]);
$m = $c->expect(PUBLISH => props => [ [ user_property => 'p', 1 ] ],
                -name => '3.3.2.3.7: those of PUBLISH');
$c->send(PUBACK => packet_id => $m->{packet_id}, reason => 0,
         props => [ [ user_property => 'k', 'puback' ],
                    [ reason_string => 'as it should be' ] ]);
$p->expect_alive('3.4.2.2.3: those of PUBACK');

# Request Response Information: no such information, 3.2.2.3.14

$c = $t->client(props => [ [ request_response_info => 1 ] ]);
is(prop($c->connack, 'response_info'), undef, 'MQTT-3.1.2-28: none');

my $left_before = $t->total('disconnects');

$c->disconnect(reason => 0, props => [ [ user_property => 'd', 'x' ],
                                       [ reason_string => 'bye' ] ]);
ok(wait_for { $t->total('disconnects') == $left_before + 1 },
   '3.14.2.2: DISCONNECT with properties');

###############################################################################

# user properties in their order, the others sorted

sub ordered {
    my ($props) = @_;

    my @user = grep { $_->[0] eq 'user_property' } @{ $props || [] };
    my @rest = sort map { join '=', @$_ }
               grep { $_->[0] ne 'user_property' } @{ $props || [] };

    return @rest, map { join '=', @$_ } @user;
}

###############################################################################
