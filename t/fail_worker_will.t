#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A worker is killed: others publish the wills of its clients, exactly once and
# at once, and release their sessions; also where there was no other one, and
# where the one that takes over is killed as well.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Util qw/ slow /;
use MqttTest::Workers qw/ socket_on client_on /;
use Test::More tests => 26;

###############################################################################

use constant MANY => 2000;

my $t = MqttTest->new;

$t->write_conf(workers => 3, gateway => 'lease_timeout 1s;',
               servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_spread%% reuseport;
        mqtt_pass test;
        mqtt_max_queued 10000;
    }
END

$t->run;

my ($first, $second, $third) = $t->worker_pids;

my $subscriber = on($second);
$subscriber->subscribe('will/#' => 2);

my @persistent = (clean => 0, props => [ [ session_expiry => 100 ] ]);

my @held = (
    on($first, client_id => 'v3', version => 4, will => will('v3')),
    on($first, client_id => 'v5', will => will('v5', 0, 0)),
    on($first, client_id => 'kept', @persistent, will => will('kept', 0, 2)),
    on($first, client_id => 'late', @persistent, will => will('late', 2)),
    on($first, client_id => 'back', @persistent, will => will('back', 2)),
    on($first, client_id => 'quiet', @persistent),
);

on($first, client_id => 'gone', will => will('gone'))->disconnect;
my $stays = on($second, client_id => 'stays', will => will('stays'));

my $begin = now();

ok($t->kill_worker($first), 'a worker is killed');

my %got = map { $_->{payload} => now() - $begin }
          grep { $_ } map { $subscriber->recv_message } 1 .. 3;

is_deeply([ sort keys %got ], [ 'kept', 'v3', 'v5' ], 'its wills');
ok(!(grep { $_ > slow(3.0) } values %got), 'at once')
    or diag(explain \%got);

my $c = $t->client(client_id => 'back', @persistent);
is($c->connack->{session_present}, 1, 'a client is back at another worker');

my $m = $subscriber->recv_message;
my $after = now() - $begin;

is($m && $m->{payload}, 'late', 'a will with a delay');
ok($after > 1.9 && $after < slow(5.0), 'later') or diag($after);

ok(wait_for { session('quiet')->{o} eq '' }, 'sessions are released');
cmp_ok($t->redis->command('TTL', 'test:{c:quiet}'), '>', 80,
       'and live on for their expiry interval');
is(session('kept')->{x}, 100, 'also those with a will');
is(session('v3')->{o}, '?', 'clean ones are gone');

ok(wait_for { !owners() }, 'its lease has ended') or diag(owners());

$stays->expect_alive('clients of others are');
is($subscriber->recv_message(0.2), undef, 'nothing was published twice');
is($t->total('sessions_taken_over'), 6, 'they were counted');
is($t->total('wills_published'), 4, 'and the wills');

$stays->disconnect;
$c->disconnect;

$subscriber->disconnect;

# The one that takes over is killed in the middle of it: nothing is lost.  That
# a will is there is seen from what is retained, as nobody knows whose
# subscriber would stay.

my @many = map {
    $t->client(port => 'spread', client_id => "many-$_",
               will => { %{ will("m/$_") }, retain => 1 });
} 1 .. MANY;

$t->allow_log(qr/worker process \d+ exited on signal 9/);
CORE::kill('KILL', $third);

my $taker;

ok(wait_for { $taker = taker() }, 'somebody takes over');
CORE::kill('KILL', $taker);

my $left = grep { session("many-$_")->{o} ne '?' } 1 .. MANY;
note("$left sessions were left");

my %worker = reverse $t->error_log
             =~ /(\d+)\#\S+\ \*\d+\ client\ connected.*"(many-\d+)"$/gm;

my @killed = grep { $worker{"many-$_"} == $third
                    || $worker{"many-$_"} == $taker } 1 .. MANY;

my $ended = wait_for { !owners() } 10;
ok($ended, 'all leases have ended');
ok(wait_for { @{[ $t->redis->keys('*{c:many*') ]} == MANY - @killed },
   'their sessions are released');

my $reader = $t->client;
$reader->subscribe('will/m/+' => 1);

my %there;

while (keys %there < @killed) {
    my $m = $reader->recv_message or last;
    $there{$m->{payload}}++;
}

is_deeply([ sort keys %there ], [ sort map { "m/$_" } @killed ],
          'and the wills of both are published');
is($reader->recv_message(0.3), undef, 'no others are');

$t->stop;

# a single worker: the one that comes instead of it

$t->redis->command('FLUSHALL');
$t->write_conf;
$t->run;

my ($only) = $t->worker_pids;

@held = (
    $t->client(client_id => 'single', @persistent,
               will => { %{ will('single') }, retain => 1 }),
    $t->client(client_id => 'delayed', @persistent,
               will => { %{ will('delayed', 1) }, retain => 1 }),
);

ok($t->kill_worker($only), 'the only worker is killed');

$subscriber = $t->accepted;
ok($subscriber, 'the next one serves');
$subscriber->subscribe('will/#' => 1);

my %count;

for (1 .. 2) {
    $m = $subscriber->recv_message or last;
    $count{$m->{payload}}++;
}

is_deeply(\%count, { single => 1, delayed => 1 },
          'and has published its wills');
is($subscriber->recv_message(0.2), undef, 'once');

$c = $t->client(client_id => 'single', @persistent);
is($c->connack->{session_present}, 1, 'the session is there');
is(session('single')->{w}, undef, 'without the will');

###############################################################################

sub on {
    my ($pid, %args) = @_;

    return client_on($t, $pid, %args);
}


sub will {
    my ($text, $delay, $qos) = @_;

    return { topic => "will/$text", payload => $text, qos => $qos // 1,
             $delay ? (props => [ [ will_delay => $delay ] ]) : () };
}


sub session {
    my ($id) = @_;

    return { o => '?', @{ $t->redis->command('HGETALL', "test:{c:$id}") } };
}


# the process that is taking over from somebody

sub taker {
    for my $mark (@{ $t->redis->command('HVALS', 'test:{l}d') }) {
        my ($slot, $generation) = $mark =~ /^t\w+:(\d+):(\d+)$/ or next;

        for my $worker (@{ $t->status->{gateways}{test}{workers} }) {
            return $worker->{pid} if $worker->{slot} == $slot
                                     && $worker->{generation} == $generation;
        }
    }

    return;
}


# leases of workers that are not there any more

sub owners {
    my $gateway = $t->status->{gateways}{test};
    my %alive;

    $alive{":$_->{slot}:$_->{generation}"} = 1 for @{ $gateway->{workers} };

    return grep { !$alive{ s/^\w+//r } }
           @{ $t->redis->command('ZRANGE', 'test:{l}w', 0, -1) };
}

###############################################################################
