#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# UNSUBSCRIBE while the page of that log is on its way, when that of another
# log is there already: what was read of the other one is delivered, once.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Util qw/ append slurp /;
use Test::More tests => 5;

###############################################################################

my $t = MqttTest->new;
my ($dir, $port) = ($t->dir, $t->port('gate'));

# Between nginx and Redis: holds what comes from Redis, and all behind it, from
# the first message of the second log on, until there is a file "open".

$t->write_file('gate', <<'END');
use warnings;
use strict;

use IO::Select;
use IO::Socket::INET;
use POSIX ();

my ($dir, $port, $redis) = @ARGV;

my $listen = IO::Socket::INET->new(Listen => 10, LocalPort => $port,
                                   LocalAddr => '127.0.0.1', ReuseAddr => 1)
    or die "$port: $@\n";
my $select = IO::Select->new($listen);
my (%peer, %back, $held);

$| = 1;

sub pass {
    my ($to, $data) = @_;

    $data = substr $data, syswrite($to, $data) // POSIX::_exit(0)
        while length $data;
}

while (1) {
    for my $fh ($select->can_read(0.02)) {
        if ($fh == $listen) {
            my $client = $listen->accept;
            my $server = IO::Socket::INET->new(PeerAddr => $redis) or die;

            ($peer{$client}, $peer{$server}) = ($server, $client);
            $back{$server} = '';
            $select->add($client, $server);

        } elsif (!sysread $fh, my $data, 65536) {
            $select->remove($fh, $peer{$fh});
            close $_ for $peer{$fh}, $fh;

        } elsif (!exists $back{$fh}) {
            print "asked\n" if defined $held && $data =~ m!second/x!;
            pass($peer{$fh}, $data);

        } elsif (defined $held && $fh == $held) {
            $back{$fh} .= $data;

        } elsif (!defined $held && !-e "$dir/open" && $data =~ /SECOND/) {
            $held = $fh;
            $back{$fh} = substr $data, $-[0];
            pass($peer{$fh}, substr $data, 0, $-[0]);
            print "held\n";

        } else {
            pass($peer{$fh}, $data);
        }
    }

    if (defined $held && -e "$dir/open") {
        pass($peer{$held}, $back{$held});
        undef $held;
    }
}
END

MqttTest::Util->spawn(
    name => 'gate', log => "$dir/gate.log",
    command => [ $^X, "$dir/gate", $dir, $port, $t->redis->address ]);

my $conf = $t->conf;
$conf =~ s/redis %%REDIS%%/redis 127.0.0.1:$port/;

$t->write_file_expand('nginx.conf', $conf);
$t->run;

my %session = (version => 5, client_id => 'device', clean => 0,
               props => [ [ session_expiry => 60 ] ]);

my $c = $t->client(%session);
$c->subscribe('first/x' => 1, 'second/x' => 1);
$c->disconnect;

ok($t->wait_total('clients', 0), 'away');

my $publisher = $t->client(version => 5);
$publisher->publish_wait('first/x', "first $_", qos => 1) for 1 .. 3;
$publisher->publish_wait('second/x', 'SECOND', qos => 1);

$c = $t->client(%session);

ok(wait_for { slurp("$dir/gate.log") =~ /held/ }, 'one page is there');

$c->send(UNSUBSCRIBE => packet_id => 7, filters => [ 'second/x' ]);

ok(wait_for { slurp("$dir/gate.log") =~ /asked/ }, 'the other is not wanted');

append("$dir/open", '');

my @got;

for (1 .. 3) {
    my $m = $c->recv_message or last;
    push @got, $m->{payload};
}

is_deeply(\@got, [ map { "first $_" } 1 .. 3 ], 'it is delivered');

my $m = $c->recv_message(0.3);
is($m && $m->{payload}, undef, 'once');

$c->is_alive;
$c->disconnect;

###############################################################################
