#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Reload: the old worker serves on and disconnects its clients at drain_rate,
# in the order in which they came, the new one takes new connections; a broken
# configuration changes nothing.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 40;

###############################################################################

use constant CLIENTS => 60;

my $t = MqttTest->new;

$t->write_conf(gateway => 'drain_rate 10;');
$t->run;

my ($old) = $t->worker_pids;

my @clients = map {
    $t->client(version => $_ % 4 ? 5 : 4, client_id => "c-$_", clean => 0,
               keep_alive => 0, $_ % 4 ? expiry() : ())
} 0 .. CLIENTS - 1;

my $waiting = $t->socket;

is($t->total('clients'), CLIENTS, 'clients before');

my $connects = $t->total('connects');
my $begin = now();

ok($t->reload, 'reloaded');

ok(wait_for { "@{[ $t->old_worker_pids ]}" eq $old }, 'the old worker exits');

my ($new) = $t->worker_pids;

isnt($new, $old, 'there is a new one');
is($t->total('connects'), $connects, 'the counters go on');

my @exiting = grep { $_->{exiting} }
              @{ $t->status->{gateways}{test}{workers} };
is_deeply([ map { $_->{pid} } @exiting ], [ $old ], 'the status tells so');

# the old one serves on

$clients[-1]->expect_alive('the last client is served');

my $packet = $clients[-1]->publish_wait('a', 'x', qos => 2);
is($packet && $packet->{type}, 'PUBCOMP', 'and publishes');

is($waiting->connect->{reason}, 0x8b, 'and accepts no CONNECT anymore');
$waiting->expect_close;

# the new one serves

my $c = $t->client(client_id => 'new');
$c->expect_alive('a new client');
is(worker_of($c), $new, 'is at the new worker');

# from the old one to the new one

$c = $t->client(client_id => 'c-59', clean => 0, expiry());
is($c->connack->{session_present}, 1, 'a client that moves by itself');
$clients[-1]->expect_disconnect(0x8e, 'is taken over');
is(worker_of($c), $new, 'to the new worker');

# ten clients a second at most, the first ones first

MqttTest::Client->pump(\@clients, timeout => 30, until => sub {
    10 == grep { $_->{eof} } @clients[0 .. 9];
});

my $took = now() - $begin;
my @gone = grep { $_->{eof} } @clients[0 .. CLIENTS - 2];

for my $i (0, 1, 2, 3, 4) {
    $clients[$i]->expect_disconnect(0x8b, "client $i was told")
        if $clients[$i]->version == 5;
    $clients[$i]->expect_close("client $i was closed")
        if $clients[$i]->version == 4;
}

cmp_ok($took, '>', 0.5, 'not all at once');
cmp_ok(@gone, '<', CLIENTS - 1, 'others are still there')
    or diag("after $took s");

# they come back to the new worker, with their sessions

for my $i (0, 1) {
    my $version = $clients[$i]->version;
    my $again = $t->client(version => $version, client_id => "c-$i",
                           clean => 0, $version == 5 ? expiry() : ());

    is($again->connack->{session_present}, 1, "client $i: session present");
    is(worker_of($again), $new, "client $i: at the new worker");
    $again->disconnect;
}

$_->close for @clients;

ok(wait_for { !$t->old_worker_pids }, 'the old worker ends with its clients');
is($t->total('connects'), $connects + 4, 'the counters have gone on');

# drain_rate 0: all at once

$t->write_conf(gateway => 'drain_rate 0;');
ok($t->reload, 'reloaded');

@clients = map { $t->client } 1 .. 20;

ok($t->reload, 'reloaded with clients');

is(scalar(grep { my $p = $_->recv; $p && $p->{reason} == 0x8b } @clients), 20,
   'all are told, no matter how many');

$_->close for @clients;
ok(wait_for { !$t->old_worker_pids }, 'and the worker ends');

# a broken configuration

$c = $t->client;
my @before = $t->worker_pids;

$t->allow_log(qr/\[emerg\].*(?:unknown mqtt_gateway|bind|zone)/);
$t->write_conf(servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_broken%%;
        mqtt_pass absent;
    }
END

ok(!$t->reload, 'a broken configuration is refused');
like($t->error_log, qr/unknown mqtt_gateway "absent" in \S+:\d+/,
     'with file and line');
is_deeply([ $t->worker_pids ], \@before, 'the worker stays');
$c->expect_alive('and its client');

ok($t->client->is_alive, 'new clients are served');

# from one size of the zone to another: nothing is shared, both work

$t->write_conf(zone => '8m', gateway => 'drain_rate 0;');
ok($t->reload, 'reloaded with another size of the zone');
$c->expect_disconnect(0x8b, 'the old client is told');
ok($t->client->is_alive, 'new clients are served');

###############################################################################

sub expiry {
    return props => [ [ session_expiry => 100 ] ];
}


sub worker_of {
    my ($client) = @_;

    my $port = $client->local_port;
    my ($pid) = $t->error_log =~ /(\d+)#\S+ \*\d+ client \S+:$port connected/;

    return $pid;
}

###############################################################################
