#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# MQTT over WebSocket over TLS on a stream listener: the same port serves MQTT
# over TLS; large and small packets both ways; the end; a client in Python.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen /;
use MqttTest::WebSocket qw/ frame request PING /;
use Test::More;

###############################################################################

plan skip_all => 'no IO::Socket::SSL' if !eval { require IO::Socket::SSL };

my $t = MqttTest->new;
my $dir = $t->certs;

$t->write_conf(servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_tls%% ssl;
        ssl_certificate %%TESTDIR%%/server.crt;
        ssl_certificate_key %%TESTDIR%%/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        mqtt_pass test;
        mqtt_max_packet_size 512k;
    }
END

$t->run;

$t->client(port => 'tls', ssl => 1)->expect_alive('MQTT over TLS');

for my $tls ('TLSv1_2', 'TLSv1_3') {
    my $c = $t->client(port => 'tls', ssl => { SSL_version => $tls },
                       ws => 1);

    $c->expect_alive("$tls: connected");
    $c->subscribe('large' => 1);

    my $payload = join '', map { pack 'N', $_ } 1 .. 100_000;
    my $packet = $c->publish_wait('large', $payload, qos => 1);

    is($packet && $packet->{reason}, 0, "$tls: a large packet is taken");
    ok(($c->recv_message // {})->{payload} eq $payload,
       "$tls: and comes back as it was");

    my $before = $c->ws->frames;

    $c->send_raw(gen('PINGREQ', 5) x 1000);
    $c->recv for 1 .. 1000;

    cmp_ok($c->ws->frames - $before, '<=', 3, "$tls: one frame per flush");

    $c->send_wire(frame($_, opcode => PING)) for 1 .. 3;
    $c->expect_alive;
    is("@{[ $c->ws->pongs ]}", '1 2 3', "$tls: pongs");

    $c->send(CONNECT => client_id => 'again');
    $c->expect_disconnect(0x82, "$tls: DISCONNECT");
    is($c->ws->close_code, 1008, "$tls: Close");
    ok(close_notify($c), "$tls: close_notify");
}

# more than the socket takes: OpenSSL wants the same bytes again

my $slow = $t->client(port => 'tls', ssl => 1, ws => 1, version => 4,
                      receive_buffer => 65536);
$slow->subscribe('many' => 0);

my $fast = $t->client(version => 4);
my $large = join '', map { pack 'N', $_ } 1 .. 10_000;

for my $n (1 .. 200) {
    $fast->queue(PUBLISH => topic => 'many', payload => "$n $large");
    $fast->queue(PUBLISH => topic => 'many', payload => $n) for 1 .. 5;
}

$fast->expect_alive('a publisher');

my $dropped = $t->total('messages_out_dropped');
my ($got, $wrong) = (0, 0);

cmp_ok($dropped, '>', 0, 'some do not fit');

while ($got < 1200 - $dropped) {
    my $packet = $slow->recv or last;

    $got++;
    $wrong++ if $packet->{payload} !~ /^\d+(?: \Q$large\E)?\z/;
}

is($got, 1200 - $dropped, 'the others come through a slow socket');
is($wrong, 0, 'as they were');
$slow->expect_alive;

# byte by byte, each in a record of its own

my $c = $t->socket(port => 'tls', ssl => 1, version => 5);
$c->send_raw($_) for split //, request()
                               . frame(gen(CONNECT => 5, client_id => 'b'));
ok(wait_for { $c->fill; $c->{in} =~ s/^HTTP.*?\r\n\r\n//s }, 'byte by byte');
$c->{ws} = MqttTest::WebSocket->new;
$c->{in} = $c->ws->feed($c->{in});
$c->expect('CONNACK', reason => 0);

# browsers are refused in TLS as well

$c = $t->socket(port => 'tls', ssl => 1);
$c->send_raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
ok(wait_for { $c->fill; $c->{eof} }, 'a browser: closed');
like($c->{in}, qr{^HTTP/1.1 404 .*no such path\.\r\n\z}s, 'and told why');
ok(close_notify($c), 'with close_notify');

# Paho in Python

my $python = (grep { -x && `$_ -c 'import paho.mqtt' 2>&1` eq '' }
              '/usr/bin/python3')[0];

SKIP: {
    skip 'no Paho', 3 if !$python;

    my $file = $t->write_file('client.py', <<'END');
import ssl, sys
import paho.mqtt.client as mqtt

port, ca = int(sys.argv[1]), sys.argv[2]
client = mqtt.Client("python", transport="websockets", protocol=mqtt.MQTTv5)
client.tls_set(ca)
client.ws_set_options(path="/mqtt")

def on_connect(client, userdata, flags, rc, properties):
    print("connected", rc)
    client.subscribe("python/#", 1)

def on_subscribe(client, userdata, mid, codes, properties):
    client.publish("python/a", "x" * 100000, 1)

def on_message(client, userdata, message):
    print("message", message.topic, len(message.payload))
    client.disconnect()

client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect("127.0.0.1", port, 60)
client.loop_forever()
END

    my $port = $t->port('tls');
    my $out = `timeout 30 $python $file $port $dir/ca.crt 2>&1`;

    like($out, qr/^connected Success$/m, 'Paho in Python: connected');
    like($out, qr{^message python/a 100000$}m, 'a message, there and back');
    is($?, 0, 'and ends') or diag($out);
}

# the worker ends

$c = $t->client(port => 'tls', ssl => 1, ws => 1);
ok($t->stop, 'graceful stop');
$c->expect_disconnect(0x8b, 'the client is told so');
is($c->ws->close_code, 1001, 'Close 1001');

done_testing();

###############################################################################

sub close_notify {
    my ($client) = @_;

    my $ssl = $client->socket->_get_ssl_object;

    return Net::SSLeay::get_shutdown($ssl) & 2;
}
