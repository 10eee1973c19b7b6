#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# What client status events cost in Redis: what is told of a connection, a
# script when it is gone; nothing at all where they are not configured.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Status;
use Sys::Hostname qw/ hostname /;
use Test::More tests => 16;

###############################################################################

my $t = MqttTest->new;
my $redis = $t->redis;
my $status = $t->kafka->topic('status');

$t->write_conf(kafka => 1, workers => 1, gateway => <<"END");
    client_status kafka=$status;
    drain_rate 0;
END

$t->run;
$redis->command('CONFIG', 'SET', 'slowlog-log-slower-than', 0);
$redis->command('CONFIG', 'SET', 'slowlog-max-len', 10000);

my $c = $t->client(client_id => 'on', username => 'user');
my $address = '127.0.0.1:' . $c->local_port;

is(session('on')->{a}, "$address\0" . hostname() . "\0user",
   'what is told stands in the session');
$c->disconnect;

status_events($t, $status, 3);
ok((wait_for { !%{ session('on') } }), 'and goes with it');

my @calls = calls('on');

is(@calls, 3, 'three scripts');
is($calls[2][3], 'c' . (status_events($t, $status, 3))[2]{epoch},
   'the last one notes that it is told');

# a session that lives on

my @persistent = (clean => 0, props => [ [ session_expiry => 100 ] ]);

$t->client(client_id => 'kept', @persistent)->disconnect;
status_events($t, $status, 6);
ok((wait_for { !grep { /^[ac]/ } keys %{ session('kept') } }),
   'nothing of it is left in one that lives on');
$c = $t->client(client_id => 'kept', @persistent);
is($c->connack->{session_present}, 1, 'which is there');
$c->disconnect(props => [ [ session_expiry => 0 ] ]);
status_events($t, $status, 9);
ok((wait_for { !%{ session('kept') } }), 'until it ends');

# one that takes over

my @taken = map { $t->client(client_id => 'taken') } 1 .. 3;

my @events = status_events($t, $status, 9 + 3 + 2);
is_deeply([ status_disorder(@events), status_faults(@events) ], [],
          'takeovers');
ok((wait_for { !grep { /^c/ } keys %{ session('taken') } }), 'are noted');
$taken[2]->disconnect;
status_events($t, $status, 9 + 3 + 2 + 2);

# without the directive, behind it

my $held = $t->client(client_id => 'held');

$t->write_conf(kafka => 1, workers => 1, gateway => 'drain_rate 0;');
ok($t->reload, 'reload');
is($held->recv->{type}, 'DISCONNECT', 'old connections end');
ok((wait_for { !$t->old_worker_pids } 20), 'with the old worker');
@events = status_events($t, $status, 9 + 3 + 2 + 2 + 2);
is($events[-1]{eventType}, 'tcpclean', 'and are told');

$c = $t->client(client_id => 'off', username => 'user');
is_deeply([ sort keys %{ session('off') } ], [ qw/ e o x / ],
          'off: nothing stands in the session');
$c->disconnect;
ok((wait_for { !%{ session('off') } }), 'which is gone');

# the scripts, without what they are told in addition

is_deeply([ map { scalar @$_ } calls('off') ], [ 4 + 5, 4 + 5 ],
          'the scripts of a connection, no argument more');

###############################################################################

sub session {
    my ($id) = @_;

    return { @{ $redis->command('HGETALL', "test:{c:$id}") } };
}


# the calls of scripts with the session of a client, the first one first

sub calls {
    my ($id) = @_;

    my @calls;

    for my $entry (reverse @{ $redis->command('SLOWLOG', 'GET', 10000) }) {
        my @command = @{ $entry->[3] };

        push @calls, \@command
            if lc $command[0] eq 'evalsha' && $command[3] eq "test:{c:$id}";
    }

    # EVALSHA, SHA, 2, keys, arguments: without the first

    return map { [ @{$_}[1 .. $#$_] ] } @calls;
}

###############################################################################
