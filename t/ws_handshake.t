#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The opening handshake on a stream listener: found out from the first bytes,
# accepted, or refused with what a browser or curl understands; however it is
# cut; its time-out and its size; the path, and WebSocket switched off.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen /;
use MqttTest::Util qw/ slurp /;
use MqttTest::WebSocket qw/ frame request accept_key /;
use Test::More;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(
    stream => <<'END',
        log_format proxied '$mqtt_client_id $remote_addr';
        set_real_ip_from 127.0.0.1;
END
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_path%%;
        mqtt_pass test;
        mqtt_websocket_path /devices/ws;
    }

    server {
        listen 127.0.0.1:%%PORT_off%%;
        mqtt_pass test;
        mqtt_websocket off;
    }

    server {
        listen 127.0.0.1:%%PORT_timeout%%;
        mqtt_pass test;
        mqtt_connect_timeout 500ms;
    }

    server {
        listen 127.0.0.1:%%PORT_proxied%% proxy_protocol;
        mqtt_pass test;
        access_log %%TESTDIR%%/access.log proxied;
    }
END

$t->run;

my $key = 'dGhlIHNhbXBsZSBub25jZQ==';

# what the server says, with the example of the standard, 1.3

my $s = $t->socket;
$s->send_raw(request(key => $key));

my $response = response($s);

is($response, join("\r\n", 'HTTP/1.1 101 Switching Protocols',
                   'Upgrade: websocket', 'Connection: Upgrade',
                   'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
                   'Sec-WebSocket-Protocol: mqtt', '', ''), 'the answer');
is(accept_key($key), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', 'we agree about it');

# both protocols on one listener

for my $version (3, 4, 5) {
    $t->client(version => $version)->expect_alive("MQTT $version over TCP");
    $t->client(version => $version, ws => 1)
      ->expect_alive("MQTT $version over WebSocket");
}

# [ what, request, sub-protocol ] that is accepted

my @accepted = (
    [ 'arguments', request(path => '/mqtt?token=x'), 'mqtt' ],
    [ 'an absolute URI', request(path => 'http://localhost/mqtt'), 'mqtt' ],
    [ 'mqttv3.1', request(protocol => 'mqttv3.1'), 'mqttv3.1' ],
    [ 'a list of sub-protocols', request(protocol => 'mqttv3.1, mqtt'),
      'mqtt' ],
    [ 'several headers of them', request(protocol => [ 'chat', 'mqtt' ]),
      'mqtt' ],
    [ 'any origin', request(origin => 'https://anywhere.example'), 'mqtt' ],
    [ 'what Firefox sends', request(headers =>
        { Connection => 'keep-alive, Upgrade', Pragma => 'no-cache',
          'Sec-WebSocket-Extensions' => 'permessage-deflate' }), 'mqtt' ],
    [ 'a large request', request(headers => { Cookie => 'x' x 15_000 }),
      'mqtt' ],
);

for my $row (@accepted) {
    my ($name, $request, $protocol) = @$row;

    $s = $t->socket;
    $s->send_raw($request);

    my $got = response($s);

    like($got, qr{^HTTP/1.1 101 }, "$name: accepted");
    like($got, qr/^Sec-WebSocket-Protocol: \Q$protocol\E\r$/m,
         "$name: $protocol");
    unlike($got, qr/^Sec-WebSocket-Extensions/m, "$name: no extension");
}

# [ what, request, status, header ] that is refused

my $get = "GET / HTTP/1.1\r\nHost: a\r\n";

my @refused = (
    [ 'a browser', "$get\r\n", 404 ],
    [ 'the path and no handshake',
      request(headers => { Upgrade => undef, Connection => undef }), 426,
      qr/^Upgrade: websocket\r\nSec-WebSocket-Version: 13\r$/m ],
    [ 'no Connection header', request(headers => { Connection => 'close' }),
      426 ],
    [ 'an older version', request(headers =>
        { 'Sec-WebSocket-Version' => 8 }), 426,
      qr/^Sec-WebSocket-Version: 13\r$/m ],
    [ 'another path', request(path => '/mqtts'), 404 ],
    [ 'a longer path', request(path => '/mqtt/'), 404 ],
    [ 'a shorter path', request(path => '/'), 404 ],
    [ 'no key', request(headers => { 'Sec-WebSocket-Key' => undef }), 400 ],
    [ 'a bad key', request(key => 'short'), 400 ],
    [ 'two keys', request(key => [ $key, $key ]), 400 ],
    [ 'no sub-protocol',
      request(headers => { 'Sec-WebSocket-Protocol' => undef }), 400 ],
    [ 'another sub-protocol', request(protocol => 'chat'), 400 ],
    [ 'a sub-protocol in capitals', request(protocol => 'MQTT'), 400 ],
    [ 'no Host', request(headers => { Host => undef }), 400 ],
    [ 'a body', request(headers => { 'Content-Length' => 5 }), 400 ],
    [ 'a folded header', "${get}A: b\r\n c\r\n\r\n", 400 ],
    [ 'no HTTP', "GETTING nowhere\r\n\r\n", 400 ],
    [ 'POST', request(method => 'POST'), 405, qr/^Allow: GET\r$/m ],
    [ 'HEAD', request(method => 'HEAD'), 405 ],
    [ 'OPTIONS', "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 405 ],
    [ 'HTTP/1.0', request(http => 'HTTP/1.0'), 505 ],
    [ 'HTTP/2 that was not asked for', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      400 ],
    [ 'a request that never ends', "GET / HTTP/1.1\r\n" . 'A: b' x 5000,
      431 ],
    [ 'a request that is too large',
      request(headers => { Cookie => 'x' x 17_000 }), 431 ],
);

my $count = $t->total('websockets_refused');

for my $row (@refused) {
    my ($name, $request, $status, $header) = @$row;

    $s = $t->socket;
    $s->send_raw($request);

    my $got = response($s);

    like($got, qr{^HTTP/1\.1 $status [A-Z]}, "$name: $status")
        or diag($got);
    like($got, $header, "$name: and a header") if $header;

    my ($length) = $got =~ /^Content-Length: (\d+)\r$/m;
    my (undef, $body) = split /\r\n\r\n/, $got, 2;

    is(length $body, $length, "$name: and the reason");
    ok($s->{eof} && !$s->reset, "$name: closed in peace");
}

is($t->total('websockets_refused') - $count, @refused, 'all are counted');
is($t->total('websockets'), $t->total('clients'), 'none is one of WebSocket')
    or diag($t->total('clients'));

SKIP: {
    my $port = $t->port('mqtt');
    my $got = `curl -s -w '%{http_code}' http://127.0.0.1:$port/mqtt`;

    skip 'no curl', 1 if $? == -1;

    is($got, "This is MQTT over WebSocket: it is no WebSocket handshake.\r\n"
             . '426', 'curl');
}

# however it is cut; frames behind it

my $connect = frame(gen(CONNECT => 5, client_id => 'cut'));

for my $pieces ([ 'as a whole', 1 << 20 ], [ 'byte by byte', 1 ],
                [ 'the first byte alone', 1, 1 << 20 ],
                [ 'in hundreds', 100 ])
{
    my ($name, @sizes) = @$pieces;
    my $rest = request(headers => { Cookie => 'x' x 3000 }) . $connect;

    $s = $t->socket;

    while (length $rest) {
        my $size = @sizes > 1 ? shift @sizes : $sizes[0];

        $s->send_raw(substr $rest, 0, $size, '');
    }

    like(response($s), qr{^HTTP/1.1 101 }, "request and frame $name");

    $s->{ws} = MqttTest::WebSocket->new;
    $s->{in} = $s->ws->feed($s->{in});
    $s->expect('CONNACK', -name => "request and frame $name: served");
}

# much behind it

$s = $t->socket;
$s->send_raw(request() . frame(join '', gen(CONNECT => 5, client_id => 'much'),
    gen(PUBLISH => 5, topic => 'a', payload => 'x' x 200_000, qos => 1,
        packet_id => 9)));
like(response($s), qr{^HTTP/1.1 101 }, 'a request and 200 KB');
$s->{ws} = MqttTest::WebSocket->new;
$s->{in} = $s->ws->feed($s->{in});
$s->expect('CONNACK');
$s->expect(PUBACK => packet_id => 9);

# a bad frame right behind it

$s = $t->socket;
$s->send_raw(request() . frame('x', opcode => 1));
response($s);
$s->{ws} = MqttTest::WebSocket->new;
$s->{in} = $s->ws->feed($s->{in});
$s->expect_close('request and a text frame');
is($s->ws->close_code, 1003, 'Close 1003');

# the time-out of CONNECT is that of the handshake too

my $timeouts = $t->total('connect_timeouts');

for my $bytes ('G', 'GET /mqtt HT', request(), request() . "\x82") {
    $s = $t->socket(port => 'timeout');
    $s->send_raw($bytes);
    ok(wait_for(sub { $s->fill; $s->{eof} }),
       length($bytes) . ' bytes and nothing more: closed');
}

is($t->total('connect_timeouts'), $timeouts + 4, 'all are counted');

# ends of the client

for my $bytes ('G', 'GET /mqtt HT', request()) {
    $s = $t->socket;
    $s->send_raw($bytes);
    $s->close;

    $s = $t->socket;
    $s->send_raw($bytes);
    $s->abort;
}

# another path

$t->client(port => 'path', ws => { path => '/devices/ws' })
  ->expect_alive('another path is set');
ok(!eval { $t->client(port => 'path', ws => 1) }, 'the default is none then');
like($@, qr/refused with 404/, 'but 404');

# off: HTTP is what everything else is that does not begin with CONNECT

$t->client(port => 'off')->expect_alive('WebSocket is off, MQTT is not');

my $errors = $t->total('protocol_errors');

$s = $t->socket(port => 'off');
$s->send_raw(request());
is(response($s), '', 'HTTP is closed without a word');
is($t->total('protocol_errors'), $errors + 1, 'and a protocol error');

# what begins like HTTP and is none

for my $bytes ("G\2", "P\2\0\1", "\x47") {
    $s = $t->socket;
    $s->send_raw($bytes . "\0\0\0\0");
    is(response($s), '', sprintf 'MQTT that begins with 0x%vx', $bytes);
}

# the address of the client is that of the PROXY protocol, headers say nothing

my $c = $t->client(port => 'proxied', client_id => 'behind',
                   proxy => "PROXY TCP4 192.0.2.6 192.0.2.1 4711 80\r\n",
                   ws => { headers => { 'X-Forwarded-For' => '10.0.0.1' } });
$c->disconnect;

ok(wait_for { slurp($t->dir . '/access.log') =~ /\n/ }, 'a line in the log');
is(slurp($t->dir . '/access.log'), "behind 192.0.2.6\n",
   'the address in the log');

ok(wait_for { MqttTest::Client->close_all; $t->total('websockets') == 0 },
   'all are gone');

done_testing();

###############################################################################

# up to the empty line, or all there is when the connection is closed

sub response {
    my ($client) = @_;

    my $got;

    wait_for {
        $client->fill;

        if ($client->{in} =~ /^(HTTP\/1\.1 101 .*?\r\n\r\n)/s) {
            $got = $1;
            substr $client->{in}, 0, length $got, '';

        } elsif ($client->{eof}) {
            $got = $client->{in};
        }

        defined $got;
    };

    return $got // 'nothing';
}
