#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Reload, quit and a fast stop fire no wills and lose no session; a client that
# is lost meanwhile has one all the same.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 19;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(gateway => 'drain_rate 30; lease_timeout 1s;');
$t->run;

my @persistent = (clean => 0, props => [ [ session_expiry => 100 ] ]);

my @clients = map { client("c-$_", $_ % 4 ? 5 : 4, $_ % 2) } 1 .. 100;

# reload: the old worker drains its clients

ok($t->reload, 'reloaded');

wait_for { $t->old_worker_pids } or die "the old worker is not there\n";

my $s = $t->client(client_id => 'subscriber');
$s->subscribe('will/#' => 1);

# the last one to be disconnected

$clients[-1]->close;

my $m = $s->recv_message;
is($m && $m->{payload}, 'c-100', 'who is lost meanwhile has a will');

ok(wait_for { !$t->old_worker_pids }, 'the old worker has ended');

is((grep { session("c-$_")->{o} ne '' } 1 .. 100), 0,
   'the sessions are released');
is((grep { session("c-$_")->{w} } 1 .. 100), 0, 'without a will');

is($s->recv_message(1.5), undef, 'no other will, not with a delay either');
is($t->total('wills_published'), 1, 'only one was published');

ok(wait_for { leases() == 1 }, 'one worker has a lease');
my $c = $t->client(client_id => 'c-1', @persistent);
is($c->connack->{session_present}, 1, 'a session after a reload');
$c->disconnect;

# quit and fast stop

for my $how ('QUIT', 'TERM') {
    my @stopped = map { client("$how-$_", $_ % 4 ? 5 : 4, 0) } 1 .. 100;

    ok($t->stop($how), "$how");
    is(scalar(grep { session("$how-$_")->{o} ne '' || session("$how-$_")->{w} }
              1 .. 100), 0, "$how: the sessions are released");
    is(leases(), 0, "$how: no lease is left");
    is(scalar(grep { /\{w:/ } $t->redis->keys), 0, "$how: nor a list");

    $t->run;
    $c = $t->client(client_id => "$how-1", @persistent);
    is($c->connack->{session_present}, 1, "$how: a session afterwards");
    $c->disconnect;
}

###############################################################################

sub client {
    my ($id, $version, $delay) = @_;

    my $expiry = $version == 5 ? [ [ session_expiry => 100 ] ] : undef;

    return $t->client(
        version => $version, client_id => $id, clean => 0,
        $expiry ? (props => $expiry) : (),
        will => { topic => "will/$id", payload => $id, qos => 1,
                  $version == 5 ? (props => [ [ will_delay => $delay ] ]) : (),
        });
}


sub session {
    my ($id) = @_;

    return { o => '?', @{ $t->redis->command('HGETALL', "test:{c:$id}") } };
}


sub leases { return $t->redis->command('ZCARD', 'test:{l}w') }

###############################################################################
