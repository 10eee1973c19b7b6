#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# MQTT in WebSocket frames: packets split and joined in every way, control
# frames in between, what a client may not send, both closing handshakes, one
# frame for each flush, and what an idle connection keeps.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen /;
use MqttTest::WebSocket qw/ frame CONTINUATION TEXT BINARY CLOSE PING PONG /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(server => 'mqtt_output_buffer 64k; mqtt_max_packet_size 512k;');
$t->run;

my @packets = (gen(SUBSCRIBE => 5, packet_id => 1, filters => [ [ 'a', 1 ] ]),
               gen(PUBLISH => 5, topic => 'a', payload => 'x' x 300, qos => 1,
                   packet_id => 2),
               gen('PINGREQ', 5));

# however it is cut

exchange('a frame for each packet', map { frame($_) } connect_packet(),
                                                      @packets);
exchange('all in one frame', frame(join '', connect_packet(), @packets));
exchange('a frame for each byte',
         join '', map { frame($_) } split //, join '', connect_packet(),
                                                       @packets);
exchange('a frame for each byte, empty ones between them',
         map { frame($_) . frame('') } split //, join '', connect_packet(),
                                                          @packets);
exchange('a fragment for each byte',
         fragments(split //, join '', connect_packet(), @packets));
exchange('a write for each byte', split //, frame(join '', connect_packet(),
                                                           @packets));
exchange('three bytes a frame, two a write',
         (join '', map { frame($_) } join('', connect_packet(), @packets)
                                     =~ /.{1,3}/gs) =~ /.{1,2}/gs);

# control frames in between

my $c = exchange('pings between fragments of a packet',
    map({ ($_, frame("ping $_", opcode => PING),
           frame('', opcode => PONG)) }
        fragments(map { /.{1,50}/gs } connect_packet(), @packets)));

cmp_ok(scalar($c->ws->pongs), '>', 5, 'they are answered');

$c = $t->client(ws => 1);

my @payloads = map { chr(65 + $_ % 26) x ($_ % 126) } 1 .. 200;

$c->send_wire(join '', map { frame($_, opcode => PING) } @payloads);
$c->send_wire($_) for split //, frame('split' x 25, opcode => PING);
$c->expect_alive('PINGREQ behind pings');

is_deeply([ $c->ws->pongs ], [ @payloads, 'split' x 25 ],
          'with their payload, in order, before what follows');

# large packets, in one frame and in many

my $large = join '', map { pack 'N', $_ } 1 .. 100_000;

$c = $t->client(ws => 1);
$c->subscribe('large' => 1);
$c->send(PUBLISH => topic => 'large', payload => $large);
ok(($c->recv_message // {})->{payload} eq $large, 'a packet in one frame');

my $publish = gen(PUBLISH => 5, topic => 'large', payload => $large);

$c->send_wire(join '', map { frame($_) } $publish =~ /.{1,1013}/gs);
ok(($c->recv_message // {})->{payload} eq $large, 'a packet in 400 frames');

# one frame for what one turn of the event loop makes

$c = $t->client(ws => 1, version => 4);

my $before = $c->ws->frames;

$c->send_raw(gen('PINGREQ', 4) x 1000);
$c->recv for 1 .. 1000;

cmp_ok($c->ws->frames - $before, '<=', 3, 'a thousand answers in one frame');

# who does not read is not read: pongs have a bound as well

$c = $t->client(ws => 1, receive_buffer => 65536);

my $ping = frame('x' x 125, opcode => PING);

$c->{out} = $ping x 200_000;
wait_for { my $left = length $c->{out}; $c->drain; $left == length $c->{out} }
    1 for 1 .. 3;

cmp_ok(length $c->{out}, '>', 0, 'a flood of pings is held');
cmp_ok($t->total('alloc_bytes'), '<', 500_000, 'and not remembered');

MqttTest::Client->pump([ $c ], timeout => 60,
                       until => sub { $c->ws->pongs >= 200_000 });

is(scalar(my @pongs = $c->ws->pongs), 200_000, 'until the pongs are taken');
$c->expect_alive;

# what a client may not send

my @errors = (
    [ 'a text frame', 1003, frame('abc', opcode => TEXT) ],
    [ 'an empty text frame', 1003, frame('', opcode => TEXT) ],
    [ 'a frame that is not masked', 1002, frame(gen('PINGREQ', 5),
                                                mask => undef) ],
    [ 'a ping that is not masked', 1002, frame('', opcode => PING,
                                               mask => undef) ],
    [ 'RSV1, an extension nobody agreed on', 1002, frame('abc', rsv => 4) ],
    [ 'RSV2', 1002, frame('abc', rsv => 2) ],
    [ 'RSV3', 1002, frame('abc', rsv => 1) ],
    [ 'an unknown opcode', 1002, frame('', opcode => 3) ],
    [ 'an unknown control opcode', 1002, frame('', opcode => 11) ],
    [ 'a continuation of nothing', 1002, frame('', opcode => CONTINUATION) ],
    [ 'a message inside of another one', 1002,
      frame('', fin => 0) . frame('') ],
    [ 'a fragmented ping', 1002, frame('', opcode => PING, fin => 0) ],
    [ 'a long ping', 1002, frame('x' x 126, opcode => PING) ],
    [ 'a length in more bytes than needed', 1002, frame('abc', form => 16) ],
    [ 'the same in eight bytes', 1002, frame('abc', form => 64) ],
    [ 'a length of 2^63', 1002, frame('', form => 64, length => 1 << 63) ],
);

for my $row (@errors) {
    my ($name, $code, $bytes) = @$row;

    my $errors = $t->total('protocol_errors');

    $c = $t->client(ws => 1);

    # what came before it is served

    $c->send_wire(frame(gen('PINGREQ', 5)) . $bytes
                  . frame(gen('PINGREQ', 5)));
    $c->expect('PINGRESP', -name => "$name: what came before is served");
    $c->expect_disconnect(0x82, "$name: DISCONNECT");
    is($c->ws->close_code, $code, "$name: Close $code");
    is($t->total('protocol_errors'), $errors + 1, "$name: counted");
}

# the client closes

my @closes = (
    [ 'nothing', '', 1000 ],
    [ '1000', pack('n', 1000), 1000 ],
    [ '1001 and a reason', pack('n', 1001) . 'going away', 1001 ],
    [ 'a code of its own', pack('n', 4000) . "\xc3\xa9", 4000 ],
    [ 'half a code', "\3", 1002 ],
    [ 'a code that never travels', pack('n', 1006), 1002 ],
    [ 'a code that is none', pack('n', 99), 1002 ],
    [ 'a reason that is not UTF-8', pack('n', 1000) . "\xff", 1007 ],
);

for my $row (@closes) {
    my ($name, $payload, $code) = @$row;

    my $lost = $t->total('connections_lost');

    $c = $t->client(ws => 1);
    $c->send_wire(frame($payload, opcode => CLOSE) . frame(gen('PINGREQ', 5)));
    $c->expect_close("Close with $name: closed, nothing more is served");
    is($c->ws->close_code, $code, "Close with $name: answered by $code");
    is($t->total('connections_lost'), $lost + 1,
       "Close with $name: no DISCONNECT of MQTT");
}

my $subscriber = $t->client;

$subscriber->subscribe('last' => 1);

$c = $t->client(ws => 1);
$c->send_wire(frame(gen(PUBLISH => 5, topic => 'last', payload => 'words',
                        qos => 1, packet_id => 1)
                    . gen('DISCONNECT', 5))
              . frame(pack('n', 1000), opcode => CLOSE));
is(($subscriber->recv_message // {})->{payload}, 'words',
   'a publish right before the end is served');

# Close in pieces

$c = $t->client(ws => 1);
$c->send_wire($_) for split //, frame(pack('n', 1000) . 'bye',
                                      opcode => CLOSE);
$c->expect_close('Close, byte by byte');
is($c->ws->close_code, 1000, 'is answered as well');

# no Close at all

my $lost = $t->total('connections_lost');

$t->client(ws => 1)->close;
$t->client(ws => 1)->abort;

ok(wait_for { $t->total('connections_lost') == $lost + 2 },
   'FIN and RST end a connection');

# the server closes

$c = $t->client(ws => 1);
$c->send('DISCONNECT');
$c->expect_close('DISCONNECT of the client');
is($c->ws->close_code, 1000, 'Close 1000');

$c = $t->client(ws => 1, client_id => 'twin');
$t->client(client_id => 'twin');
$c->expect_disconnect(0x8e, 'taken over');
is($c->ws->close_code, 1008, 'Close 1008');

for my $version (3, 4, 5) {
    $c = $t->client(ws => 1, version => $version);
    $c->send(PUBLISH => topic => 'a', payload => 'x' x 600_000);
    $c->expect_disconnect(0x95, "MQTT $version: packet too large");
    is($c->ws->close_code, 1009, "MQTT $version: Close 1009");
}

$c = $t->socket(ws => 1);
$c->send('PINGREQ');
$c->expect_close('no CONNECT first');
is($c->ws->close_code, 1008, 'Close 1008');

$c = $t->socket(ws => 1);
$c->send_raw(gen(CONNECT => 5, client_id => 'x', proto_level => 9));
$c->expect(CONNACK => reason => 0x84);
$c->expect_close('CONNECT refused');
is($c->ws->close_code, 1008, 'Close 1008');

# an idle connection keeps little more than one of TCP

my $idle = sub {
    my (%args) = @_;

    my $start = $t->total('alloc_bytes');
    my @clients = map { $t->client(%args, client_id => "idle-000$_",
                                   version => 4) } 1 .. 9;

    $_->subscribe('idle' => 1) for @clients;
    $_->send_wire(frame('abc', opcode => PING) x 2) for grep { $_->ws }
                                                             @clients;
    $_->is_alive for @clients;

    my $bytes = $t->total('alloc_bytes') - $start;

    $_->disconnect for @clients;
    wait_for { $t->total('alloc_bytes') == $start };

    return $bytes / 9;
};

my $tcp = $idle->();
my $ws = $idle->(ws => 1);

cmp_ok($ws - $tcp, '<=', 96, "idle: $ws bytes, TCP: $tcp")
    or diag("$ws - $tcp");

# the worker ends

$c = $t->client(ws => 1);
is($t->total('websockets'), 1, 'one is open, the others are not');

ok($t->stop, 'graceful stop with a WebSocket client');
$c->expect_disconnect(0x8b, 'which is told so');
is($c->ws->close_code, 1001, 'Close 1001');

done_testing();

###############################################################################

# different ids: a client of one that lingers is none to take over

sub connect_packet {
    return gen(CONNECT => 5, client_id => 'frames-' . ++our $connected);
}


sub fragments {
    my (@parts) = @_;

    return map {
        frame($parts[$_], opcode => $_ ? CONTINUATION : BINARY,
              fin => $_ == $#parts)
    } 0 .. $#parts;
}


# writes the pieces one by one; the answers to CONNECT and @packets come

sub exchange {
    my ($name, @pieces) = @_;

    my $client = $t->socket(ws => 1);

    $client->send_wire($_) for @pieces;

    my @got = map { ($client->recv // {})->{type} // 'nothing' } 1 .. 5;

    is_deeply([ $got[0], sort @got[1 .. 4] ],
              [ qw/ CONNACK PINGRESP PUBACK PUBLISH SUBACK / ], $name);

    return $client;
}
