#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# DISCONNECT from the client: reason codes, session expiry, what is not
# allowed in it; and the other ends of a connection.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(server => 'mqtt_max_session_expiry 1000s;');
$t->run;

# all that a client may say, table of 3.14.2.1

my @reasons = (0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95,
               0x96, 0x97, 0x98, 0x99);

# [ what, version, the packet, how it ends, session present afterwards ]

my $expiry = sub { return props => [ [ session_expiry => $_[0] ] ] };

my @good = (
    [ 'DISCONNECT', 3, '', 1 ],
    [ 'DISCONNECT', 4, '', 1 ],
    [ 'DISCONNECT', 5, '', 1 ],
    (map { [ sprintf('reason 0x%02x', $_), 5, [ reason => $_ ], 1 ] }
         @reasons),
    [ 'no properties', 5, [ reason => 0, props => [] ], 1 ],
    [ 'reason string', 5, [ props => [ [ reason_string => 'bye' ] ] ], 1 ],
    [ 'user properties', 5, [ props => [ ([ user_property => 'a', 'b' ]) x 2 ]
      ], 1 ],
    [ 'session expiry 0', 5, [ $expiry->(0) ], 0 ],
    [ 'session expiry 5', 5, [ $expiry->(5) ], 1 ],
    [ 'session expiry over the cap', 5, [ $expiry->(0xffffffff) ], 1 ],
);

my @bad = (
    [ 'flags', 4, [ flags => 1 ], undef ],
    [ 'a body', 4, [ trail => "\0" ], undef ],
    [ 'flags', 5, [ flags => 2 ], 0x81 ],
    [ 'unknown reason 0x05', 5, [ reason => 5 ], 0x82 ],
    [ 'unknown reason 0xff', 5, [ reason => 0xff ], 0x82 ],
    [ 'reason of a PUBACK', 5, [ reason => 0x10 ], 0x82 ],
    [ 'a property twice', 5, [ props => [ ([ reason_string => 'a' ]) x 2 ] ],
      0x82 ],
    [ 'a property of CONNECT', 5, [ props => [ [ receive_maximum => 1 ] ] ],
      0x81 ],
    [ 'a byte too many', 5, [ props => [], trail => 'x' ], 0x81 ],
    [ 'properties cut off', 5, [ props => "\x05\x11\x00" ], 0x81 ],
    [ 'reason string that is not UTF-8', 5,
      [ props => [ [ reason_string => "\xff" ] ] ], 0x81 ],
);

plan tests => 2 * @good + @bad + 12;

for my $case (@good) {
    my ($what, $version, $fields, $present) = @$case;

    my $c = persistent($version, $what);

    $c->send(DISCONNECT => @{ $fields || [] });
    $c->expect_close("$version: $what");

    my $again = persistent($version, $what);

    # 3.1 cannot tell

    is($again->connack->{session_present}, $version == 3 ? 0 : $present,
       "$version: session present afterwards: $present");
    $again->abort;
}

ok(wait_for { $t->total('clients') == 0 }, 'nobody is left');
is($t->total('disconnects'), @good, 'disconnects are counted');

for my $case (@bad) {
    my ($what, $version, $fields, $reason) = @$case;

    my $c = $t->client(version => $version);

    $c->send(DISCONNECT => @$fields);
    $c->expect_disconnect($reason, "$version: $what");
}

is($t->total('disconnects'), @good, 'they do not count as disconnects');
is($t->total('protocol_errors'), @bad, 'but as protocol errors');

# a session that was to end with the connection cannot be kept

my $c = $t->client(client_id => 'raise');
$c->send(DISCONNECT => $expiry->(10));
$c->expect_disconnect(0x82, 'session expiry raised from 0');

$c = $t->client(client_id => 'zero', props => [ [ session_expiry => 0 ] ]);
$c->send(DISCONNECT => $expiry->(0));
$c->expect_close('from 0 to 0 it is not');

# what comes behind DISCONNECT is not looked at

my $unmapped = $t->total('messages_unmapped');

$c = $t->client;
$c->queue('DISCONNECT');
$c->queue(PUBLISH => topic => 'a', payload => 'x', qos => 1, packet_id => 1);
$c->queue_raw("\xff" x 1000);
$c->flush;
$c->expect_close('bytes behind DISCONNECT');
is($t->total('messages_unmapped'), $unmapped, 'are not served');

# what came before is acknowledged first

$c = $t->client;
$c->queue(PUBLISH => topic => 'a', qos => 1, packet_id => $_) for 1 .. 3;
$c->queue('DISCONNECT');
$c->flush;

is(join(' ', map { ($c->recv || {})->{packet_id} // 'none' } 1 .. 3), '1 2 3',
   'PUBACKs before the end');

# ... also when the client only says that it has no more to say

my $answered = 0;

for my $n (1 .. 20) {
    $c = $t->client(version => 3 + $n % 3);
    $c->queue(PUBLISH => topic => 'a', qos => 1, packet_id => $n);
    $c->queue('PINGREQ');
    $c->shutdown;

    my @types = sort map { ($c->recv || {})->{type} // 'none' } 1, 2;

    $answered++ if "@types" eq 'PINGRESP PUBACK' && !$c->recv && $c->closed;
}

is($answered, 20, 'half-close: answers, then the end');

# FIN and RST instead of DISCONNECT

ok(wait_for { $t->total('clients') == 0 }, 'nobody is left');

my $lost = $t->total('connections_lost');

$t->client->shutdown;
$t->client->abort;

ok(wait_for { $t->total('connections_lost') == $lost + 2 },
   'FIN and RST are lost connections');

###############################################################################

sub persistent {
    my ($version, $name) = @_;

    return $t->client(version => $version, client_id => "c $version $name",
                      clean => 0, $version == 5 ? $expiry->(500) : ());
}

###############################################################################
