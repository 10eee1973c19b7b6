#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Two nodes: that the clients of one are gone is told once, by the other one
# when the node was killed or hangs, and by nobody else when it comes back; by
# itself where Redis has forgotten them.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Status;
use Sys::Hostname qw/ hostname /;
use Test::More tests => 34;

###############################################################################

my $one = MqttTest->new;
my $redis = $one->redis;
my $two = MqttTest->new(redis => $redis);
my $kafka = $one->kafka;
my $status = $kafka->topic('status', partitions => 3);
my $told = 0;

for my $t ($one, $two) {
    $t->write_conf(kafka => 1, workers => 2, gateway => <<"END");
    client_status kafka=$status;
    lease_timeout 1s;
    drain_rate 0;
END

    $t->run;
}

# a node is killed

my @clients = map { client($one, "killed-$_", $_ % 2) } 1 .. 100;
my %address = map { $_->client_id => '127.0.0.1:' . $_->local_port } @clients;
my @stay = map { client($two, "stays-$_") } 1 .. 10;

events($told + 110);
$one->allow_log(qr/exited on signal 9/);
ok($one->kill_hard, 'a node is killed');

my @events = events($told + 100);
my $gone = status_of(tcpclean => @events);

is_deeply([ sort keys %$gone ], [ sort map { "killed-$_" } 1 .. 100 ],
          'its clients are told to be gone');
is_deeply([ status_faults(@events) ], [], 'once, as they connected');
is_deeply({ map { $_ => $gone->{$_}[0]{clientIp} } keys %$gone }, \%address,
          'the addresses');
is($gone->{'killed-1'}[0]{node}, hostname(), 'the node');
settled($two);

$_->disconnect for @stay;
@events = events($told + 20);
is_deeply([ status_faults(@events) ], [], 'those of the other one leave');

# the clients come back to the other node at once

$one->run;
@clients = map { client($one, "moves-$_", $_ % 2) } 1 .. 100;
events($told + 100);

ok($one->kill_hard, 'killed once more');

@clients = map { client($two, "moves-$_", $_ % 2) } 1 .. 100;
@events = events($told + 2 * 100);
$gone = status_of(tcpclean => @events);

is_deeply([ status_faults(@events) ], [], 'clients are back at once');

my $back = status_of(connect => @events);

is((grep {
    my ($before, $after) = @{ $back->{"moves-$_"} };

    $gone->{"moves-$_"}[0]{channelId} eq $before->{channelId}
        && $before->{epoch} < $after->{epoch};
} 1 .. 100), 100, 'the connection before is told to be gone');
settled($two);

# a node hangs, and comes back when it was taken over

$_->disconnect for @clients;
events($told + 2 * 100);

$one->run;
@clients = map { client($one, "hung-$_", $_ % 2) } 1 .. 60;
events($told + 60);

my @workers = $one->worker_pids;

CORE::kill('STOP', @workers);

@events = events($told + 60);
is(keys %{ status_of(tcpclean => grep { $_->{clientId} =~ /^hung/ } @events) },
   60, 'a node hangs: its clients are told to be gone');

# some leave, some move, before it finds out

$_->close for @clients[0 .. 19];
my @moved = map { client($two, "hung-$_", $_ % 2) } 21 .. 40;

events($told + 20);

$one->allow_log(qr/\[error\].*this worker was silent for too long/);
$one->allow_log(qr/\[warn\]/);
CORE::kill('CONT', @workers);

ok((wait_for { $one->total('clients') == 0 }), 'it comes back');
ok((wait_for { $redis->command('ZCARD', 'test:{l}w') == 4 }),
   'and begins anew');

# more of its clients would be told by now, were there any

client($one, "after-$_")->disconnect for 1 .. 8;
@events = events($told + 24);

is_deeply([ status_faults(@events) ], [], 'and tells nothing again');
$_->disconnect for @moved;
events($told + 40);

# Redis is away: who leaves meanwhile is told when it is back

@clients = map { client($one, "away-$_", $_ % 2) } 1 .. 20;
events($told + 20);

my $waiting = sub { $one->total('status_waiting') };

$redis->pause;
$_->close for @clients;
ok((wait_for { $waiting->() == 20 }), 'Redis hangs: events wait');
$redis->resume;

@events = events($told + 20);
is_deeply([ status_faults(@events) ], [], 'Redis is back: told, once');

# Redis has forgotten everything

@clients = map { client($one, "lost-$_", $_ % 2) } 1 .. 20;
events($told + 20);

$redis->command('FLUSHALL');
$_->close for @clients;

@events = events($told + 20);
is_deeply([ status_faults(@events) ], [],
          'Redis has lost its data: told, once');
ok((wait_for { $waiting->() == 0 }), 'nothing waits');

###############################################################################

sub client {
    my ($t, $id, $persistent) = @_;

    return $t->client(client_id => $id, username => "user of $id",
                      $persistent
                      ? (clean => 0, props => [ [ session_expiry => 100 ] ])
                      : ());
}


sub events {
    my ($count) = @_;

    my @events = status_events($one, $status, $count, 30);

    is(@events, $count, "$count events");
    $told = @events;

    return @events;
}


# only workers of the node have a lease, and nothing is left to be told

sub settled {
    my ($t) = @_;

    my $ended = wait_for {
        $t->worker_pids == $redis->command('ZCARD', 'test:{l}w');
    } 20;

    my @left = grep { /^c\d+$/ }
               map { keys %{ { @{ $redis->command('HGETALL', $_) } } } }
               $redis->keys('*{c:*');

    is("$ended @left", '1 ', 'all is taken over, and noted');
}

###############################################################################
