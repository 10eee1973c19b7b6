#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# MQTT over nginx's TLS: large and small packets, both ways, in few records;
# the end of a connection; certificates of clients.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen /;
use MqttTest::Util qw/ slurp /;
use Test::More;

###############################################################################

plan skip_all => 'no IO::Socket::SSL' if !eval { require IO::Socket::SSL };
plan tests => 2 * 5 + 22;

my $t = MqttTest->new;
my $dir = $t->certs;

system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
       . " -nodes -days 30 -subj /CN=stranger -keyout $dir/stranger.key"
       . " -out $dir/stranger.crt > $dir/openssl.log 2>&1") == 0
    or die slurp("$dir/openssl.log");

my $relayed = 0;

# what a connection costs on the wire is seen by a relay

$t->write_conf(
    stream => <<'END',
        ssl_certificate %%TESTDIR%%/server.crt;
        ssl_certificate_key %%TESTDIR%%/server.key;
        ssl_client_certificate %%TESTDIR%%/ca.crt;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_tickets off;

        log_format relay $upstream_bytes_received;
        log_format device '$mqtt_client_id $ssl_client_verify '
                          '$ssl_client_s_dn';
END
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_tls%% ssl;
        mqtt_pass test;
    }

    server {
        listen 127.0.0.1:%%PORT_relay%%;
        proxy_pass 127.0.0.1:%%PORT_tls%%;
        access_log %%TESTDIR%%/relay.log relay;
    }

    server {
        listen 127.0.0.1:%%PORT_mutual%% ssl;
        mqtt_pass test;
        ssl_verify_client on;
        access_log %%TESTDIR%%/device.log device;
    }

    server {
        listen 127.0.0.1:%%PORT_optional%% ssl;
        mqtt_pass test;
        ssl_verify_client optional;
        access_log %%TESTDIR%%/device.log device;
    }
END

$t->run;

for my $tls ('TLSv1_2', 'TLSv1_3') {
    my $c = $t->client(port => 'tls', ssl => { SSL_version => $tls });

    $c->expect_alive("$tls: connected");

    # large packets both ways

    $c->subscribe('large/#' => 1);

    my $payload = join '', map { pack 'N', $_ } 1 .. 250_000;
    my $packet = $c->publish_wait('large/one', $payload, qos => 1);
    my $message = $c->recv_message;

    is($packet && $packet->{reason}, 0, "$tls: a large packet is taken");
    ok($message && $message->{payload} eq $payload,
       "$tls: and comes back as it was");

    # an error, the reason, close_notify

    $c->send(CONNECT => client_id => 'again');
    $c->expect_disconnect(0x82, "$tls: DISCONNECT and close");
    ok(close_notify($c), "$tls: with close_notify");
}

# every record has some 20 bytes around what it carries

my $c = $t->client(port => 'relay', ssl => 1, version => 4);

$c->queue_raw("\xc0\0" x 5000);
$c->flush;

my $pongs = grep { $_ && $_->{type} eq 'PINGRESP' } map { $c->recv } 1 .. 5000;

is($pongs, 5000, 'many small packets are answered');
$c->disconnect;

cmp_ok(wire_bytes(), '<', 5000 * 2 + 2000, 'in few records');

my $subscriber = $t->client(port => 'relay', ssl => 1, version => 4);
$subscriber->subscribe('small' => 0);

my $publisher = $t->client(version => 4);
$publisher->queue(PUBLISH => topic => 'small', payload => $_) for 1 .. 2000;
$publisher->flush;

my @payloads = map { ($subscriber->recv || {})->{payload} // '' } 1 .. 2000;

is("@payloads", join(' ', 1 .. 2000), 'many small messages arrive');
$subscriber->disconnect;

cmp_ok(wire_bytes(), '<', 2000 * 13 + 2000, 'in few records too');

# byte by byte, each in a record of its own

$c = $t->socket(port => 'tls', ssl => 1, version => 5);
$c->send_raw($_) for split //, gen(CONNECT => 5, client_id => 'slow')
                               . gen('PINGREQ', 5);
$c->expect('CONNACK', reason => 0);
$c->expect('PINGRESP');

# the end comes from the client: close_notify, FIN, RST

my $lost = $t->total('connections_lost');

$c->socket->close;
$c->{eof} = 1;

$t->client(port => 'tls', ssl => 1)->close;
$t->client(port => 'tls', ssl => 1)->abort;

ok(wait_for { $t->total('connections_lost') == $lost + 3 },
   'close_notify, FIN and RST end a connection');

# DISCONNECT is answered by close_notify as well

$c = $t->client(port => 'tls', ssl => 1);
$c->send('DISCONNECT');
$c->expect_close('closed behind DISCONNECT');
ok(close_notify($c), 'with close_notify');

# the wrong protocol

my $plain = $t->socket(port => 'tls', version => 4);
$plain->send_raw(gen(CONNECT => 4, client_id => 'plain'));

ok(wait_for { $plain->fill; $plain->{eof} }, 'MQTT without TLS is closed');
ok(!eval { $t->socket(port => 'mqtt', ssl => 1) }, 'so is TLS without TLS');

# mutual TLS

my %cert = map {
    $_ => { SSL_cert_file => "$dir/$_.crt", SSL_key_file => "$dir/$_.key" }
} qw/ client stranger /;

ok(!accepted('mutual', {}, 'nobody'), 'no certificate');
ok(!accepted('mutual', $cert{stranger}, 'stranger'),
   'the certificate of a stranger');
ok(accepted('mutual', $cert{client}, 'device-1'), 'the right certificate');
ok(accepted('optional', $cert{client}, 'device-1'), 'the same if optional');
ok(accepted('optional', {}, 'guest'), 'none if optional');
ok(!accepted('optional', $cert{stranger}, 'stranger'),
   'a wrong one is refused even so');

my @log = wait_lines("$dir/device.log", 6);

is_deeply([ sort grep { /^\w/ } @log ],
          [ 'device-1 SUCCESS CN=device-1', 'device-1 SUCCESS CN=device-1',
            'guest NONE -' ], 'variables of the certificate in the log');

is(scalar(grep { /^-/ } @log), 3, 'the others never were clients');

# the worker ends

$c = $t->client(port => 'tls', ssl => 1, client_id => 'last');
ok($t->stop, 'graceful stop with a TLS client');
$c->expect_disconnect(0x8b, 'which is told so');
ok(close_notify($c), 'with close_notify');

###############################################################################

sub close_notify {
    my ($client) = @_;

    my $ssl = $client->socket->_get_ssl_object;

    return Net::SSLeay::get_shutdown($ssl) & 2;
}


sub accepted {
    my ($port, $ssl, $id) = @_;

    my $client = eval { $t->client(port => $port, ssl => $ssl,
                                   client_id => $id) };

    return 0 if !$client;

    $client->disconnect;

    return 1;
}


sub wait_lines {
    my ($file, $count) = @_;

    my @lines;

    wait_for { (@lines = split /\n/, slurp($file)) >= $count };

    return @lines;
}


# bytes that the last relayed client was sent

sub wire_bytes {
    my @lines = wait_lines("$dir/relay.log", ++$relayed);

    return $lines[-1];
}

###############################################################################
