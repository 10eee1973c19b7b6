#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A second CONNECT with a client id takes the session over: on the same worker,
# from another one, from one that does not answer or is dead; and of many at
# once exactly one is left.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 2 * 9 + 27;

###############################################################################

my $t = MqttTest->new;

# where waiting would be wrong it would be too long for the deadlines

$t->write_conf(
    workers => 2,
    gateway => 'takeover_timeout 300s;',
    stream => <<'END',
        mqtt_gateway impatient {
            zone 4m;
            redis %%REDIS%%;
            auth anonymous;
            takeover_timeout 300ms;
        }
END
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_spread%% reuseport;
        mqtt_pass test;
    }

    server {
        listen 127.0.0.1:%%PORT_impatient%% reuseport;
        mqtt_pass impatient;
    }
END

$t->run;

my ($first, $second) = $t->worker_pids;

for my $case ([ 'the same worker', $first, $first ],
              [ 'another worker', $first, $second ])
{
    my ($where, $from, $to) = @$case;

    my @session = (client_id => 'device', clean => 0,
                   props => [ [ session_expiry => 100 ] ]);

    my $old = socket_on($from);
    is($old->connect(@session)->{session_present}, 0, "$where: a new session");

    my $takeovers = $t->total('takeovers');

    my $new = socket_on($to);
    is($new->connect(@session)->{session_present}, 1,
       "$where: its session is present");
    $old->expect_disconnect(0x8e, "$where: the first one is told");
    $new->expect_alive("$where: the second one is served");

    is($t->total('takeovers'), $takeovers + 1, "$where: it is counted");
    is($t->total('clients'), 1, "$where: one client is left");

    # from 5.0 to 3.1.1, which is told nothing

    my $third = socket_on($from, version => 4);
    is($third->connect(client_id => 'device')->{session_present}, 0,
       "$where: a clean session instead");
    $new->expect_disconnect(0x8e, "$where: the second one is told");

    my $fourth = socket_on($to, version => 4);
    $fourth->connect(client_id => 'device');
    $third->expect_close("$where: 3.1.1 is just closed");

    $fourth->disconnect;
    wait_clients(0);
}

is_deeply([ $t->redis->keys('*{[^ln]*') ], [], 'nothing is left in Redis');

# many at once, on both workers

my @crowd = map { socket_on($_ % 2 ? $first : $second) } 1 .. 50;

$_->queue(CONNECT => client_id => 'crowd', keep_alive => 0) for @crowd;

my $settled = MqttTest::Client->pump(\@crowd, timeout => 30, until => sub {
    1 == grep { !$_->{eof} } @crowd;
});

ok($settled, 'of 50 one is left');

my ($winner) = grep { !$_->{eof} } @crowd;

$winner->expect('CONNACK', reason => 0);
$winner->expect_alive;
wait_clients(1);

my %ends;

for my $c (grep { $_ != $winner } @crowd) {
    my @got = map { $_->{type} . ' ' . $_->{reason} } grep { $_ }
              map { $c->recv } 1 .. 3;

    $ends{join(', ', @got) || 'closed'}++;
    $c->close;
}

is_deeply([ grep { !/^(?:closed|CONNACK 0, DISCONNECT 142)$/ } keys %ends ],
          [], 'the others were told, or were not accepted')
    or diag(explain \%ends);

ok(wait_for { $t->total('connections') == 1 }, 'their connections are closed');

$winner->disconnect;
wait_clients(0);

ok(wait_for { !$t->redis->keys('*{[^ln]*') }, 'nothing is left in Redis')
    or diag(join ' ', $t->redis->keys('*{[^ln]*'));

# the same one after the other, without a pause

@crowd = map { socket_on($_ % 2 ? $first : $second, version => 4) } 1 .. 20;

for my $c (@crowd) {
    $c->connect(client_id => 'next');
}

ok($crowd[-1]->is_alive, 'the last one of 20 is served');
is(scalar(grep { !$_->recv && $_->closed } @crowd[0 .. 18]), 19,
   'all others are closed');
$crowd[-1]->disconnect;
wait_clients(0);

# an owner that does not answer

my $old = socket_on($first, port => 'impatient');
$old->connect(client_id => 'stuck', keep_alive => 0);

my $new = socket_on($second, port => 'impatient');

MqttTest::Util::suspend($first);

is($new->connect(client_id => 'stuck')->{reason}, 0,
   'the session of a worker that hangs');
ok($t->wait_log(qr/\[warn\].*did not give up a session in time/),
   'the log tells of it');
$new->expect_alive;

kill 'CONT', $first;

$old->expect_disconnect(0x8e, 'the old client is told later');
$new->expect_alive('the new one stays');
$new->disconnect;
wait_clients(0);

# an owner that is dead: nobody is waited for

$old = socket_on($first);
$old->connect(client_id => 'orphan', clean => 0,
              props => [ [ session_expiry => 100 ] ]);

my $clean = socket_on($first);
$clean->connect(client_id => 'clean', clean => 0);

my $late = socket_on($first);
$late->connect(client_id => 'late');

my @new = map { socket_on($second) } 1 .. 3;

# one claim has already asked the owner

my $frames = $t->total('bus_frames_out');

MqttTest::Util::suspend($first);
$new[2]->send(CONNECT => client_id => 'late');

ok(wait_for { $t->total('bus_frames_out') > $frames }, 'an owner is asked');
ok($t->kill_worker($first), 'and killed');
$_->expect_close('its client is gone') for $old, $clean, $late;
$new[2]->expect('CONNACK', reason => 0, -name => 'who has asked goes on');

my $connack = $new[0]->connect(client_id => 'orphan', clean => 0);
is($connack && $connack->{reason}, 0, 'its session is claimed at once');
is($connack && $connack->{session_present}, 1, 'and present');

$connack = $new[1]->connect(client_id => 'clean', clean => 0);
is($connack && $connack->{session_present}, 0,
   'the one that was to end with its connection is not');

# and with the new worker in its place

my ($third) = grep { $_ != $second } $t->worker_pids;

for my $from ($second, $third) {
    my $to = $from == $second ? $third : $second;

    my $holder = socket_on($from);
    $holder->connect(client_id => 'again');

    my $taker = socket_on($to);
    is($taker->connect(client_id => 'again')->{reason}, 0,
       'takeover after a worker was replaced');
    $holder->expect_disconnect(0x8e);
    $taker->disconnect;
}

$_->disconnect for @new;

###############################################################################

sub socket_on {
    my ($pid, %args) = @_;

    return $t->socket_at($pid, port => 'spread', %args);
}


sub wait_clients {
    my ($count) = @_;

    wait_for { $t->total('clients') == $count } or diag('clients are left');
}

###############################################################################
