#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A client that sends and does not read: past mqtt_output_buffer it is not read
# from either, so that the answers do not pile up, and gets all of them when it
# reads on.  After mqtt_send_timeout without progress it is closed.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Socket qw/ SOL_SOCKET SO_SNDBUF /;
use Test::More tests => 2 * 6 + 5;

###############################################################################

my $t = MqttTest->new;

$t->certs;

# small buffers of the sockets: what those hold is no matter of the gateway

my $small = 'rcvbuf=16k sndbuf=16k';

$t->write_conf(servers => <<"END");
    server {
        listen 127.0.0.1:%%PORT_tcp%% $small;
        listen 127.0.0.1:%%PORT_tls%% $small ssl;
        ssl_certificate %%TESTDIR%%/server.crt;
        ssl_certificate_key %%TESTDIR%%/server.key;
        mqtt_pass test;
        mqtt_output_buffer 32k;
        mqtt_send_timeout 60s;
    }

    server {
        listen 127.0.0.1:%%PORT_impatient%% $small;
        mqtt_pass test;
        mqtt_send_timeout 500ms;
    }
END

$t->run;

my $other = $t->client;

for my $port ('tcp', 'tls') {
    my $c = $t->client(port => $port, ssl => $port eq 'tls', version => 4,
                       receive_buffer => 16384);
    setsockopt $c->socket, SOL_SOCKET, SO_SNDBUF, 16384;

    my $before = $t->total('packets_in');
    my $pings = 1_000_000;

    $c->queue_raw("\xc0\0" x $pings);

    cmp_ok(stall($c), '>', 500_000, "$port: the client is not read from");
    cmp_ok($t->total('packets_in') - $before, '>', 16384,
           "$port: many packets were answered before");
    cmp_ok($t->total('alloc_bytes'), '<', 500_000, "$port: few bytes wait");
    ok($other->is_alive, "$port: another client is served");

    # what is on its way is enough; TLS has to go on with what it began

    my $sent = 2 * $pings - length $c->{out};
    my $rest = 32768 + $sent % 2;

    substr $c->{out}, $rest, length $c->{out}, '';

    my $answered = wait_for {
        $c->drain;
        $c->fill;
        length $c->{in} >= $sent + $rest;
    } 20;

    ok($answered && $c->{in} eq "\xd0\0" x (($sent + $rest) / 2),
       "$port: all are answered when it reads on")
        or diag(length($c->{in}) . ' of ' . ($sent + $rest) . ' bytes');

    $c->{in} = '';
    $c->expect_alive("$port: and it goes on");
    $c->disconnect;
}

# no progress at all

my $mute = $t->client(port => 'impatient', receive_buffer => 16384);
$mute->queue_raw("\xc0\0" x 1_000_000);

my $closed = wait_for {
    $mute->drain;
    $t->total('connections_lost') == 1;
} 20;

ok($closed, 'a client that does not read is closed');

# neither when there is more to send again and again

my $subscriber = $t->client(port => 'impatient', receive_buffer => 16384);
$subscriber->subscribe('feed' => 0);

$other->publish('feed', 'x' x 500) for 1 .. 300;

$closed = wait_for {
    $other->publish('feed', 'x' x 500);
    $t->total('connections_lost') == 2;
} 20;

ok($closed, 'so is a subscriber, whatever is published meanwhile');

my @lines = $t->error_log =~ /\[info\] .* client does not read/g;
is(@lines, 2, 'one line in the log for each');

ok(wait_for { $t->total('clients') == 1 }, 'only the publisher is left');
$other->expect_alive('and is served');

###############################################################################

# Writes until nothing is taken anymore; how many bytes are left then.

sub stall {
    my ($c) = @_;

    my ($left, $same) = (0, 0);

    wait_for {
        $c->drain;

        $same = length $c->{out} == $left ? $same + 1 : 0;
        $left = length $c->{out};

        return $left == 0 || $same == 25;
    } 20;

    return $left;
}

###############################################################################
