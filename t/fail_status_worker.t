#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A worker is killed: that its clients are gone is told once, by whoever takes
# over, before what follows of the same client ids; also where they come back
# at once, where Kafka stands still, where the one that takes over is killed,
# and where nginx is stopped.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Status;
use MqttTest::Workers qw/ spread_server client_on /;
use Test::More tests => 35;

###############################################################################

use constant MANY => 300;

my $t = MqttTest->new;
my $kafka = $t->kafka;
my $status = $kafka->topic('status', partitions => 3);

$t->write_conf(kafka => 1, workers => 2, servers => spread_server(),
               gateway => <<"END");
    client_status kafka=$status;
    lease_timeout 1s;
    drain_rate 0;
END

$t->run;

my ($first, $second) = $t->worker_pids;
my $told = 0;

# many clients

my %many = map { $_ => fleet("many-$_", username => "user $_") } 1 .. MANY;
my @killed = grep { $many{$_}{worker} == $first } keys %many;

note(@killed . ' of ' . MANY);
events($told + MANY);
ok($t->kill_worker($first), 'a worker is killed');

my @events = events($told + @killed);
my $gone = status_of(tcpclean => @events);

is_deeply([ sort keys %$gone ], [ sort map { "many-$_" } @killed ],
          'its clients are told to be gone');
is_deeply([ status_faults(@events) ], [], 'each once, and as they connected');

my ($one) = map { $_->[0] } values %$gone;
my ($id) = $one->{clientId} =~ /-(\d+)$/;

is($one->{clientIp}, $many{$id}{address}, 'the address');
is($one->{username}, "user $id", 'the user name');
like($one->{reason}, qr/worker/i, 'the reason');
settled();

# those of the other worker are told by itself

$_->{client}->disconnect for grep { $_->{worker} == $second } values %many;

@events = events($told + (MANY - @killed) * 2);
is_deeply([ status_faults(@events) ], [], 'the others leave');
is(keys %{ status_of(tcpclean => @events) }, MANY, 'all are gone');
is_deeply([ $t->redis->keys('*{c:*') ], [], 'and nothing is left in Redis');

# they come back at once

my @fleet = map { client_on($t, $second, client_id => "back-$_") } 1 .. 150;

events($told + 150);
$t->allow_log(qr/worker process \d+ exited on signal 9/);
CORE::kill('KILL', $second);

my @back = map { back("back-$_") } 1 .. 150;

@events = events($told + 2 * 150);
is_deeply([ status_faults(@events) ], [], 'they are back: each is told once');
is(keys %{ status_of(tcpclean => @events) }, MANY + 150, 'that it was gone');
is_deeply([ status_disorder(@events) ], [], 'before it is back');
settled();

# while Kafka stands still; and those that take over are killed as well

($first, $second) = $t->worker_pids;

@fleet = map { $t->client(port => 'spread', client_id => "still-$_") } 1 .. 60;
events($told + 60);

$kafka->pause;
CORE::kill('KILL', $first, $second);

ok((wait_for { !grep { $_ == $first || $_ == $second } $t->worker_pids }),
   'both workers are killed');

ok((wait_for {
    !grep { (session($_)->{o} // '') ne '' } map { "still-$_" } 1 .. 60
} 20), 'their sessions are taken over');

my @left = grep { /^c\d+$/ } map { keys %{ session("still-$_") } } 1 .. 60;
is(@left, 60, 'what is to be told stands in Redis');

my %seen = map { $_ => 1 } $t->worker_pids;
CORE::kill('KILL', keys %seen);

ok((wait_for { !grep { $seen{$_} } $t->worker_pids }),
   'those that take over are killed');
$kafka->resume;

@events = events($told + 60 + 150, 40);
$gone = status_of(tcpclean => @events);
is((grep { $gone->{"still-$_"} } 1 .. 60), 60, 'nobody is forgotten');
settled();

# the broker may have what a killed worker had sent, and is told it again

is_deeply([ grep { !/^tcpclean of \S+ twice$/ } status_faults(@events) ], [],
          'nor told differently');

# nginx is stopped with clients, and comes back

@fleet = map { $t->client(port => 'spread', client_id => "stop-$_") } 1 .. 40;
events($told + 40);

ok($t->stop_fast, 'stopped fast');
$t->run;

@events = grep { $_->{clientId} =~ /^stop/ } events($told + 40);
is_deeply([ status_faults(@events) ], [], 'the next one tells, once');
is(keys %{ status_of(tcpclean => @events) }, 40, 'of all');
settled();
is($t->total('status_waiting'), 0, 'nothing waits');

###############################################################################

# a client, its worker and address

sub fleet {
    my ($id, %args) = @_;

    my $c = $t->client(port => 'spread', client_id => $id, %args);
    my $port = $c->local_port;
    my $worker;

    ok(0, "worker of $id") if !wait_for {
        ($worker) = $t->error_log
                    =~ /(\d+)#\S+ \*\d+ client \S+:$port connected to/;
    };

    return { client => $c, worker => $worker, address => "127.0.0.1:$port" };
}


# as a device does that was cut off

sub back {
    my ($id) = @_;

    return $t->accepted(port => 'spread', client_id => $id);
}


sub events {
    my ($count, $timeout) = @_;

    my @events = status_events($t, $status, $count, $timeout);

    is(@events, $count, "$count events");
    $told = @events;

    return @events;
}


sub session {
    my ($id) = @_;

    return { @{ $t->redis->command('HGETALL', "test:{c:$id}") } };
}


# all leases of workers that are dead have ended

sub settled {
    my $ended = wait_for {
        my %alive = map { (":$_->{slot}:$_->{generation}" => 1) }
                    @{ $t->status->{gateways}{test}{workers} };

        !grep { !$alive{ s/^\w+//r } }
         @{ $t->redis->command('ZRANGE', 'test:{l}w', 0, -1) };
    } 20;

    my @left = grep { /^c\d+$/ }
               map { keys %{ { @{ $t->redis->command('HGETALL', $_) } } } }
               $t->redis->keys('*{c:*');

    is("$ended @left", '1 ', 'all is taken over, and noted');
}

###############################################################################
