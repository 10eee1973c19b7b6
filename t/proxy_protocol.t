#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# PROXY protocol, versions 1 and 2: the address of the device is that of the
# header in the access log, also in front of TLS and where MQTT follows in the
# same segment; health checks of the balancer are no errors.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen /;
use MqttTest::Util qw/ slurp /;
use Socket qw/ inet_aton inet_pton AF_INET6 /;
use Test::More tests => 22;

###############################################################################

my $t = MqttTest->new;

$t->certs;

$t->write_conf(
    stream => <<'END',
        log_format proxied '$mqtt_client_id $remote_addr '
                           '$proxy_protocol_addr';
        access_log %%TESTDIR%%/access.log proxied;
        set_real_ip_from 127.0.0.1;
        ssl_certificate %%TESTDIR%%/server.crt;
        ssl_certificate_key %%TESTDIR%%/server.key;
END
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_proxied%% proxy_protocol;
        listen 127.0.0.1:%%PORT_proxied_tls%% proxy_protocol ssl;
        mqtt_pass test;
    }
END

$t->run;

my $v4 = binary(0x21, 0x11, inet_aton('192.0.2.7') . inet_aton('192.0.2.1')
                        . pack('nn', 4711, 1883));
my $v6 = binary(0x21, 0x21, inet_pton(AF_INET6, '2001:db8::7')
                        . inet_pton(AF_INET6, '2001:db8::1')
                        . pack('nn', 4711, 1883));
my $tlv = binary(0x21, 0x11, inet_aton('192.0.2.8') . inet_aton('192.0.2.1')
                         . pack('nn', 4711, 1883) . "\x03\0\4abcd");

# [ name, header, address, address in the header ]

my @headers = (
    [ 'v1', "PROXY TCP4 192.0.2.6 192.0.2.1 4711 1883\r\n", '192.0.2.6' ],
    [ 'v1-six', "PROXY TCP6 2001:db8::6 2001:db8::1 4711 1883\r\n",
      '2001:db8::6' ],
    [ 'v1-unknown', "PROXY UNKNOWN\r\n", '127.0.0.1', '-' ],
    [ 'v2', $v4, '192.0.2.7' ],
    [ 'v2-six', $v6, '2001:db8::7' ],
    [ 'v2-tlv', $tlv, '192.0.2.8' ],
    [ 'v2-local', binary(0x20, 0, ''), '127.0.0.1', '-' ],
);

my @expected;

for my $row (@headers) {
    my ($name, $header, $addr, $in_header) = @$row;

    my $c = $t->client(port => 'proxied', client_id => $name,
                       proxy => $header);
    $c->expect_alive("$name is served");
    $c->disconnect;

    $c = $t->client(port => 'proxied_tls', client_id => "$name-tls",
                    proxy => $header, ssl => 1);
    $c->expect_alive("$name is served, TLS behind it");
    $c->disconnect;

    push @expected, map { "$_ $addr " . ($in_header // $addr) } $name,
                                                                "$name-tls";
}

# header, CONNECT and a publish in one segment

my $header = "PROXY TCP4 192.0.2.9 192.0.2.1 4711 1883\r\n";
my $c = $t->socket(port => 'proxied', proxy => $header
                   . gen(CONNECT => 5, client_id => 'one')
                   . gen(PUBLISH => 5, topic => 'a', qos => 1, packet_id => 3)
                   . gen('DISCONNECT', 5));

$c->expect('CONNACK', reason => 0);
$c->expect('PUBACK', packet_id => 3);
$c->expect_close('all in one segment');

push @expected, 'one 192.0.2.9 192.0.2.9';

# the checks of a balancer: nothing, LOCAL and nothing, a header and nothing

$t->socket(port => 'proxied', proxy => $_)->close
    for '', binary(0x20, 0, ''), $v4;

# no header at all, and half of one

$c = $t->socket(port => 'proxied');
$c->send(CONNECT => client_id => 'bare');
$c->expect_close('MQTT without a header');

$c = $t->socket(port => 'proxied', proxy => "PROXY TCP4 192.0.2.9\r\n");
$c->send(CONNECT => client_id => 'half');
$c->expect_close('an incomplete header');

ok(wait_for { $t->total('connections') == 0 }, 'all connections are closed');

my @log = grep { !/^-/ } split /\n/, slurp($t->dir . '/access.log');

is_deeply([ sort @log ], [ sort @expected ], 'addresses in the access log');

my @errors = $t->error_log =~ /^.*\[(?:error|crit|warn)\].*$/mg;

is(scalar(grep { !/broken header/ } @errors), 0, 'health checks are no errors')
    or diag(join "\n", @errors);

###############################################################################

sub binary {
    my ($command, $family, $body) = @_;

    return "\r\n\r\n\0\r\nQUIT\n" . pack 'CCn/a*', $command, $family, $body;
}

###############################################################################
