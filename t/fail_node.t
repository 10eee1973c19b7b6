#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Two nodes and their leases: a node that is killed or hangs is taken over by
# the other one, not so a node that was stopped as planned, and nobody when
# Redis was away for longer than a lease.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Util qw/ slow /;
use Test::More tests => 34;

###############################################################################

my $one = MqttTest->new;
my $redis = $one->redis;
my $two = MqttTest->new(redis => $redis);

for my $t ($one, $two) {
    $t->write_conf(workers => 2, gateway => 'lease_timeout 1s;');
    $t->run;
}

my @persistent = (clean => 0, props => [ [ session_expiry => 100 ] ]);

my $s = $two->client(client_id => 'subscriber');
$s->subscribe('will/#' => 1);

# Redis is away for much longer than a lease

my @clients = map { client($_ % 2 ? $one : $two, "stay-$_") } 1 .. 20;

ok(wait_for { leases() == 4 }, 'four workers have a lease');

$redis->pause;
is($s->recv_message(4), undef, 'Redis hangs for four seconds');
$redis->resume;
ok(wait_for { fresh() == 4 }, 'the leases are renewed');
is($s->recv_message(3), undef, 'nobody was taken over');
is(scalar(grep { $_->is_alive } @clients), 20, 'all clients are there');
is((grep { session("stay-$_")->{o} eq '' } 1 .. 20), 0, 'and their sessions');

# Redis has forgotten everything

$redis->command('FLUSHALL');
ok(wait_for { leases() == 4 }, 'FLUSHALL: the leases are there again');
is($s->recv_message(0.5), undef, 'nothing happens');
is(scalar(grep { $_->is_alive } @clients), 20, 'all clients are there');

# the will of a session that Redis has forgotten

$clients[1]->close;
my $m = $s->recv_message;
is($m && $m->{payload}, 'stay-2', 'a will that Redis does not know');

$_->disconnect for @clients[0, 2 .. 19];
ok(wait_for { $one->total('clients') + $two->total('clients') == 1 },
   'all leave');
is($s->recv_message(0.3), undef, 'without a will');

# stopped with clients: planned

@clients = map { client($one, "planned-$_") } 1 .. 50;
ok($one->stop_fast, 'a node is stopped fast');

ok(wait_for { 0 == grep { (session("planned-$_")->{o} // '') ne '' } 1 .. 50 },
   'its sessions are released');
ok(wait_for { leases() == 2 }, 'its leases have ended');
is($s->recv_message(3), undef, 'no will is published');

$one->run;

my $c = client($one, 'planned-1');
is($c->connack->{session_present}, 1, 'the sessions are there');
$c->disconnect;

# killed

@clients = (client($one, 'killed'), client($one, 'delayed', 1),
            map { $one->client(client_id => "clean-$_") } 1 .. 20);

my $begin = now();
$one->allow_log(qr/exited on signal 9/);
ok($one->kill_hard, 'a node is killed');

$m = $s->recv_message;
my $after = now() - $begin;

is($m && $m->{payload}, 'killed', 'the other one publishes its will');
ok($after > 1 && $after < slow(5), 'after two leases') or diag($after);

$m = $s->recv_message;
is($m && $m->{payload}, 'delayed', 'and the one with a delay');
ok(wait_for { !$redis->keys('*{c:clean*') }, 'clean sessions are gone');
ok(wait_for { leases() == 2 }, 'and its leases');
is($s->recv_message(0.3), undef, 'nothing was published twice');

$c = client($two, 'killed');
is($c->connack->{session_present}, 1, 'its session is there');
$c->disconnect;

# hung, and back later

$one->run;
$c = client($one, 'hung');
my @workers = $one->worker_pids;

CORE::kill('STOP', @workers);
$m = $s->recv_message;
is($m && $m->{payload}, 'hung', 'a node that hangs is taken over');
ok(wait_for { leases() == 2 }, 'its leases have ended');
is(session('hung')->{o}, '', 'its session is released');
CORE::kill('CONT', @workers);

$c->expect_disconnect(0x89, 'it is back: its client is told');
like($one->error_log, qr/\[error\].*its sessions were taken over/,
     'and the log');
is($s->recv_message(0.5), undef, 'the will is not published again');

$c = client($one, 'hung');
is($c->connack->{session_present}, 1, 'and serves as before');
$c->expect_alive;
ok(wait_for { leases() == 4 }, 'with a lease');
$c->disconnect;

###############################################################################

sub client {
    my ($t, $id, $delay) = @_;

    return $t->client(client_id => $id, @persistent,
                      will => { topic => "will/$id", payload => $id, qos => 1,
                                props => [ [ will_delay => $delay // 0 ] ] });
}


sub session {
    my ($id) = @_;

    return { @{ $redis->command('HGETALL', "test:{c:$id}") } };
}


sub leases { return $redis->command('ZCARD', 'test:{l}w') }


# leases that have not lapsed

sub fresh {
    my ($s, $us) = @{ $redis->command('TIME') };

    return $redis->command('ZCOUNT', 'test:{l}w', $s * 1000, '+inf');
}

###############################################################################
