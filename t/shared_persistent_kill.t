#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Shared subscriptions with persistent sessions whose worker is killed: what
# their members had not acknowledged is given back, to members of other workers
# or to those that come later; nothing is lost, and QoS 2 does not come twice.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 18;

###############################################################################

my $t = MqttTest->new;

$t->allow_log(qr/worker in slot \d+ is gone, \d+ frames were dropped/);
$t->write_conf(workers => 2, gateway => 'lease_timeout 1s;',
               servers => spread_server('mqtt_send_window 4;'));
$t->run;

my ($first, $second) = $t->worker_pids;

# to a member that is there

my $publisher = client_on($t, $second);
my $member = member($first, 'one', 'k', 0);

publish('k', 1, 1 .. 10);
my %got = collect(4, member => $member);
is("@{ $got{member} }", '1 2 3 4', 'a window full');

$member->send(PUBACK => packet_id => $member->{got}[0]{packet_id});
%got = collect(1, member => $member);
is("@{ $got{member} }", 5, 'one is acknowledged');
ok(wait_for { taken('k') == 4 }, 'and no longer taken');

my $other = client_on($t, $second);
$other->subscribe('$share/g/k' => 1);
%got = collect(5, other => $other);
is("@{ $got{other} }", '6 7 8 9 10', 'another one has the others');

ok($t->kill_worker($first), 'killed');

%got = collect(4, other => $other);
is("@{ $got{other} }", '2 3 4 5', 'it gets what was not acknowledged');
ok(wait_for { taken('k') == 0 }, 'all is acknowledged');

# to those that come later: nobody is there

$other->disconnect;
($first) = grep { $_ != $second } $t->worker_pids;

$member = member($first, 'one', undef, 0);
is($member->connack->{session_present}, 1, 'the session is resumed');

publish('k', 1, 1 .. 6);
%got = collect(4, member => $member);
is("@{ $got{member} }", '1 2 3 4', 'it is a member again');

ok($t->kill_worker($first), 'killed');
ok(wait_for { $t->redis->command('ZCARD', 'test:{f:$share/g/k}q') == 4 },
   'it is given back while nobody is there');

$member = member($second, 'one');
%got = collect(6, member => $member);
is("@{ $got{member} }", '1 2 3 4 5 6', 'and waits');

# QoS 2: what was sent is the session's

end($member);
($first) = grep { $_ != $second } $t->worker_pids;

$member = member($first, 'two', 'k', 0);
publish('k', 2, 1 .. 10);
%got = collect(4, member => $member);
is("@{ $got{member} }", '1 2 3 4', 'QoS 2: a window full');

ok($t->kill_worker($first), 'QoS 2: killed');

$other = client_on($t, $second);
$other->subscribe('$share/g/k' => 2);
%got = collect(6, other => $other);
is("@{ $got{other} }", '5 6 7 8 9 10', 'QoS 2: those that were not sent');

$member = member($second, 'two');
%got = collect(4, member => $member, other => $other);
is("@{ $got{member} }, @{ $got{other} }", '1 2 3 4, ',
   'QoS 2: the others are the session\'s');

$other->disconnect;
end($member);

# both workers at once, with messages in the log, and taken

$member = member($second, 'three', 'k', 0);
publish('k', 1, 1 .. 10);
collect(4, member => $member);
$publisher->close;

$t->allow_log(qr/worker process \d+ exited on signal 9/);

my @workers = $t->worker_pids;
CORE::kill('KILL', @workers);

my %dead = map { $_ => 1 } @workers;
ok(wait_for { 2 == grep { !$dead{$_} } $t->worker_pids }, 'all are killed');

$member = $t->accepted(port => 'spread', session('three'));

%got = collect(10, member => $member);
is(join(' ', sort { $a <=> $b } @{ $got{member} }), '1 2 3 4 5 6 7 8 9 10',
   'all come after that');

###############################################################################

sub session {
    my ($id) = @_;

    return (client_id => $id, clean => 0,
            props => [ [ session_expiry => 100 ] ]);
}


sub member {
    my ($worker, $id, $filter, $ack) = @_;

    my $c = client_on($t, $worker, session($id), auto_ack => $ack // 1);

    $c->subscribe("\$share/g/$filter" => 2) if defined $filter;

    return $c;
}


sub publish {
    my ($topic, $qos, @payloads) = @_;

    $publisher->publish_wait($topic, $_, qos => $qos) for @payloads;
}


# messages that a worker has

sub taken {
    my ($filter) = @_;

    return scalar grep { /^o/ }
           @{ $t->redis->command('HKEYS', "test:{f:\$share/g/$filter}p") };
}


sub end {
    my ($c) = @_;

    $c->disconnect(props => [ [ session_expiry => 0 ] ]);

    wait_for { !$t->redis->keys('*{f:*') } or diag('not ended');
}

###############################################################################
