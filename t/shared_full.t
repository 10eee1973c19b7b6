#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Groups with a log and more members in each worker than are asked for one
# message, all of them full: what waits is not passed to and fro between the
# workers.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 4;

use constant { MEMBERS => 40, MORE => 20 };

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2,
               servers => spread_server('mqtt_send_window 1;'));
$t->run;

my @workers = $t->worker_pids;
my $publisher = $t->client(version => 5);
my @keep = (version => 5, client_id => 'keeper', clean => 0,
            props => [ [ session_expiry => 600 ] ]);
my $keeper = $t->client(@keep);
my @members;

# the log is there because of a session that is away

$keeper->subscribe('$share/g/a' => 1);
$keeper->disconnect;

for my $pid (@workers) {
    for (1 .. MEMBERS) {
        push @members, client_on($t, $pid, version => 4, auto_ack => 0);
        $members[-1]->subscribe('$share/g/a' => 1);
    }
}

my $n = @members;

$publisher->publish_wait('a', $_, qos => 1) for 1 .. $n + MORE;
is(scalar(grep { $_->recv } @members), $n, 'each member has one message');

# a round of asking is over, then they are quiet, but for a look in 5 seconds

my $quiet = wait_for { passed_on() < 20 } 5;
ok($quiet, 'workers do not pass on what nobody takes');

is($t->redis->command('LLEN', 'test:{f:$share/g/a}l'), MORE,
   'which stays in the log');

for my $c (@members) {
    $c->{auto_ack} = 1;
    $c->send(PUBACK => packet_id => 1);
}

my $more = 0;

wait_for { received() >= MORE } 10;

is($more, MORE, 'until somebody has room');

$_->disconnect for @members;
$keeper = $t->client(@keep);
$keeper->disconnect(props => [ [ session_expiry => 0 ] ]);


# frames between workers within a fifth of a second

sub passed_on {
    my $before = $t->total('bus_frames_out');

    $publisher->recv(0.2);

    return $t->total('bus_frames_out') - $before;
}


sub received {
    for my $c (@members) {
        $more++ while $c->recv_message(0);
    }

    return $more;
}

###############################################################################
